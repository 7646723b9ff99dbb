"""Annotations and definitions that somebody wrote to break something, or wrote wrong."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from functional.bed import Bed
from functional.expectations import ifname, ifnames, wait_for_event, wait_for_line
from functional.outcomes import plugged
from functional.ways import BOTH_RUNTIMES, BOTH_WAYS
from lab.files import paths_below, paths_in
from lab.networks import Network, definition
from lab.node import Pod

pytestmark = [pytest.mark.root, BOTH_RUNTIMES]

# A file that a hostile text manages to create carries this in its name.
MARK = uuid.uuid4().hex[:8]
MAC = "02:00:00:00:0c:01"
VICTIM = "K8S_POD_NAMESPACE=victim"


@pytest.fixture
def keep(bed: Bed) -> Network:
    return bed.networks.bridge("keep")


@pytest.fixture
def sibling(bed: Bed) -> Network:
    return bed.networks.bridge("sibling")


@pytest.fixture
def pod(bed: Bed, keep: Network, sibling: Network) -> Iterator[Pod]:
    """A pod with the network `keep`. Afterwards that is as it was, and nobody wrote or ran anything unwanted."""
    bed.plugins.record("bridge", "tuning", "host-local")
    files = files_of(bed)
    made = bed.node.pod(namespace="tenant", networks=["keep"])
    attached = made.wait_for_link(ifname("keep"))
    yield made
    bed.settles({made: [keep, sibling]})
    assert plugged(made)[ifname("keep")] == attached
    assert files_of(bed) == files
    near = [path for place in ("/", "/tmp", "/var/lib", "/opt") for path in paths_in(Path(place))]
    assert not [path for path in (*near, *paths_below(Path("/var/lib/cni"))) if MARK in path.name]
    assert_only_sane_arguments(bed)


def files_of(bed: Bed) -> set[str]:
    """Every file that the agent had a chance to write, but for its state and its log."""
    everything = (str(path.relative_to(bed.workdir)) for path in paths_below(bed.workdir))
    ours = ("agent/state", "agent/agent.log", "node/kactus", ".cni-bin")
    return {path for path in everything if not path.startswith(ours)}


def assert_only_sane_arguments(bed: Bed) -> None:
    sandboxes = {pod.sandbox_id: pod for pod in bed.node.pods}
    for call in bed.plugins.calls(plugin="bridge"):
        of = sandboxes[call.env["CNI_CONTAINERID"]]
        assert call.args[0].startswith("IgnoreUnknown=")
        assert call.args[1:] == [
            f"K8S_POD_NAMESPACE={of.namespace}",
            f"K8S_POD_NAME={of.name}",
            f"K8S_POD_INFRA_CONTAINER_ID={of.sandbox_id}",
            *([] if bed.kactus else [f"K8S_POD_UID={of.uid}"]),
        ]
        assert call.env["CNI_IFNAME"] in ifnames("keep", "sibling")
        assert "\n" not in "".join(call.env.values())


def assert_reported(bed: Bed, pod: Pod, *words: str) -> None:
    """The user reads it on the pod, the operator in the log, with the pod's name."""
    reported = wait_for_event(bed.api, pod, "NetworkAnnotationInvalid", *words)
    assert reported.isprintable()
    wait_for_line(bed.agent, f"pod tenant/{pod.name}: ", reported)


# Of each kind of text one that would do harm; tests/unit has the others.
BAD_ENTRIES: list[tuple[Any, str]] = [
    ({"name": f"../../{MARK}"}, "is not the name of a network"),
    ({"name": f"a;{VICTIM}"}, "is not the name of a network"),
    ({"name": f"sib\0{MARK}\n"}, "is not the name of a network"),
    ({"name": "mac-argument", "ifMac": f"{MAC};{VICTIM}"}, "is not a unicast MAC"),
    ({"name": "namespace-path", "namespace": f"../{MARK}"}, "is not the name of a namespace"),
    ({"name": "layer-path", "upperLayers": [f"../{MARK}"]}, "is not the name of a network"),
    ({"name": "sibling", f"K8S_POD_IFMAC={MAC};x": 1}, "(sibling): unknown field"),
    ({"name": "sibling", "ifMac": MAC}, "(sibling): listed twice"),
]


@pytest.mark.promise(
    "Annotations: some entries are malformed or hostile",
    "an Event for each of them; the others are attached",
)
def test_bad_entries_are_reported_one_by_one_and_the_others_are_served(bed: Bed, pod: Pod) -> None:
    pod.annotate(json.dumps([{"name": "keep"}, *(entry for entry, _ in BAD_ENTRIES)]))
    for number, (_, words) in enumerate(BAD_ENTRIES, 1):
        assert_reported(bed, pod, f"networks[{number}]", words)
    assert pod.wait_for_link(ifname("sibling")).mac != MAC


def test_a_bad_entry_leaves_the_interface_alone_that_it_may_have_meant(bed: Bed, pod: Pod) -> None:
    pod.annotate([{"name": "keep", "ifMac": "rubbish"}, "sibling"])
    pod.wait_for_link(ifname("sibling"))
    assert_reported(bed, pod, "networks[0] (keep)", "is not a unicast MAC")

    # This one may have been meant to be any of the two.
    pod.annotate([{"nmae": "keep"}])
    assert_reported(bed, pod, "networks[0]", "has no name")


def _bad_definitions(good: dict[str, Any]) -> dict[str, tuple[Any, str]]:
    """By network name: the object's spec, and what is reported. `good` is a configuration that would work."""
    text = json.dumps(good)
    escape = good | {"ipam": good["ipam"] | {"type": f"../../{MARK}"}}
    chain = {"cniVersion": "0.4.0", "name": "chain", "plugins": [good | {"type": "bridge"}, {"type": "../tuning"}]}
    return {
        "type-with-path": ({"plugin": "../cni-bin/bridge", "config": text}, "plugin"),
        "type-absolute": ({"plugin": "/bin/sh", "config": text}, "plugin"),
        "ipam-with-path": ({"plugin": "bridge", "config": json.dumps(escape)}, "ipam"),
        "chain-with-path": ({"plugin": "bridge", "config": json.dumps(chain)}, "tuning"),
        "name-with-path": ({"plugin": "bridge", "config": json.dumps(good | {"name": f"../../{MARK}"})}, "name"),
        "too-large": ({"plugin": "bridge", "config": json.dumps(good | {"x": "y" * (64 << 10)})}, "64 KiB"),
        "spec-missing": (None, "spec"),
    }


@pytest.mark.promise(
    "Definitions: a definition is malformed, too large, or names a plugin by a path",
    "an Event names the fault, nothing runs, the other networks are attached",
)
@BOTH_WAYS
def test_every_malformed_definition_is_reported_and_the_siblings_are_served(
    bed: Bed, pod: Pod, keep: Network, sibling: Network
) -> None:
    bad = _bad_definitions(sibling.config)
    for name, (spec, _) in bad.items():
        made = definition(name, "tenant", "bridge", {})
        bed.api.create({key: value for key, value in (made | {"spec": spec}).items() if value is not None})
    pod.annotate(["keep", *bad, "sibling"])
    assert sibling.holds(pod.wait_for_link(ifname("sibling")).addresses[0])
    for name, (_, words) in bad.items():
        reported = wait_for_event(bed.api, pod, "NetworkAttachFailed", f"network {name} ", words)
        assert reported.isprintable()
        assert len(reported) < 600
        wait_for_line(bed.agent, f"pod tenant/{pod.name} failed", f"network {name} ", words)
    # Nothing was even tried: the recorded runs are those of the good networks.
    assert {call.config["name"] for call in bed.plugins.calls("ADD")} <= {keep.cni_name, sibling.cni_name}
    pod.annotate(["keep", "sibling"])
