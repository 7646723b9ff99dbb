"""Annotations and definitions that somebody wrote to break something, or wrote wrong.

One agent for all tests of this module (one for each way to attach); each has a pod of its own, in which one good
network is attached already.
"""

from __future__ import annotations

import json
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from functional.expectations import ifname, ifnames, records, wait_for_event, wait_for_line
from functional.ways import WAYS, NodeKactus
from lab.agent import Agent
from lab.apiserver import ApiServer
from lab.files import names_in, paths_below, paths_in
from lab.host import HostState, wait_as_before
from lab.networks import Network, Networks, definition
from lab.node import Node, Pod, annotation
from lab.plugins import PluginDir
from lab.runtime import Runtime
from lab.waiting import eventually

pytestmark = pytest.mark.root

# Whatever a hostile text manages to create carries this in its name.
MARK = uuid.uuid4().hex[:8]
MAC = "02:00:00:00:0c:01"
VICTIM = "K8S_POD_NAMESPACE=victim"
_ARGUMENTS = ["IgnoreUnknown", "K8S_POD_NAMESPACE", "K8S_POD_NAME", "K8S_POD_INFRA_CONTAINER_ID"]


@dataclass
class Lab:
    """The node that all tests of this module share."""

    workdir: Path
    api: ApiServer
    node: Node
    networks: Networks
    plugins: PluginDir
    agent: Agent
    keep: Network
    sibling: Network
    kactus: NodeKactus | None

    def files(self) -> set[str]:
        """Every file that the agent had a chance to write, but for its state and its log."""
        everything = (str(path.relative_to(self.workdir)) for path in paths_below(self.workdir))
        ours = ("agent/state", "agent/agent.log", "node/kactus", ".cni-bin")
        return {path for path in everything if not path.startswith(ours)}


@pytest.fixture(scope="module", params=WAYS)
def lab(node_runtime: Runtime, request: pytest.FixtureRequest) -> Iterator[Lab]:
    before = HostState.now(node_runtime)
    with ExitStack() as stack:
        workdir = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="podagent-test-")))
        api = stack.enter_context(ApiServer())
        networks = Networks(api)
        stack.callback(networks.remove_all)
        plugins = PluginDir(workdir / "cni-bin")
        plugins.record("bridge", "tuning", "host-local")
        stack.callback(plugins.close)
        kubeconfig = api.write_kubeconfig(workdir / "kubeconfig")
        kactus = None
        if request.param == "kactus":
            kactus = NodeKactus.install(plugins.path, workdir / "node", kubeconfig, networks.bridge())
        prepared = Agent(
            workdir / "agent", kubeconfig=kubeconfig, docker_endpoint=node_runtime.endpoint, cni_bin_path=plugins.path,
            **(kactus.of_agent() if kactus else {}),
        )  # fmt: skip
        agent = stack.enter_context(prepared)
        node = Node(api, node_runtime)
        keep, sibling = networks.bridge("keep"), networks.bridge("sibling")
        made = Lab(workdir, api, node, networks, plugins, agent, keep, sibling, kactus)
        stack.callback(_remove_pods, made)
        yield made
    wait_as_before(before, lambda: HostState.now(node_runtime))


def _remove_pods(lab: Lab) -> None:
    lab.node.remove_all()
    eventually(lambda: not records(lab.agent), 20, "the agent to forget the deleted pods")
    assert not lab.keep.leases()
    assert not lab.sibling.leases()
    print(lab.agent.log())


@pytest.fixture
def pod(lab: Lab) -> Iterator[Pod]:
    """A pod with the network `keep`. Afterwards: it is as it was, and nobody wrote or ran anything unwanted."""
    files = lab.files()
    made = lab.node.pod(namespace="tenant", networks=["keep"])
    attached = made.wait_for_link(ifname("keep"))
    yield made
    assert made.links()[ifname("keep")] == attached
    assert lab.files() == files
    assert not _marked_files()
    _assert_only_sane_arguments(lab)
    if lab.kactus:
        sandboxes = {each.sandbox_id for each in lab.node.pods}
        kept = {*names_in(lab.kactus.calls.cni_dir)} - {".locks"}
        assert kept <= sandboxes, "kactus keeps files that no sandbox has"
        assert {network for _, network in lab.kactus.attachments()} <= {"keep", "sibling"}


def _marked_files() -> list[Path]:
    places = (Path("/"), Path("/tmp"), Path("/var/lib"), Path("/opt"))
    near = (path for place in places for path in paths_in(place))
    return [path for path in (*near, *paths_below(Path("/var/lib/cni"))) if MARK in path.name]


def _assert_only_sane_arguments(lab: Lab) -> None:
    sandboxes = {pod.sandbox_id: pod for pod in lab.node.pods}
    for call in lab.plugins.calls("ADD", "bridge") + lab.plugins.calls("DEL", "bridge"):
        of = sandboxes[call.env["CNI_CONTAINERID"]]
        assert [pair.partition("=")[0] for pair in call.args] == _ARGUMENTS
        assert call.args[1:] == [
            f"K8S_POD_NAMESPACE={of.namespace}",
            f"K8S_POD_NAME={of.name}",
            f"K8S_POD_INFRA_CONTAINER_ID={of.sandbox_id}",
        ]
        assert call.env["CNI_IFNAME"] in ifnames("keep", "sibling")
        assert "\n" not in "".join(call.env.values())


def assert_told(lab: Lab, pod: Pod, *words: str) -> None:
    """The user reads it on the pod, the operator in the log, with the pod's name."""
    told = wait_for_event(lab.api, pod, "NetworkAnnotationInvalid", *words)
    assert told.isprintable()
    wait_for_line(lab.agent, f"pod tenant/{pod.name}: ", told)


NOT_A_LIST = {
    "not JSON": ("{not json", "not valid JSON"),
    "an object": (json.dumps({"name": "sibling"}), "list of objects, not an object"),
    "a string": (json.dumps("sibling"), "list of objects, not a string"),
    "null": ("null", "list of objects, not null"),
    "a list cut short": ('[{"name": "sibling"}, {"na', "not valid JSON"),
    "nested too deep": ("[" * 100_000, "not valid JSON"),
    "a list in a list": ('[[{"name": "sibling"}]]', "networks[0]: must be an object"),
}


@pytest.mark.parametrize(("text", "words"), NOT_A_LIST.values(), ids=NOT_A_LIST)
def test_an_annotation_that_is_no_list_of_networks_is_told_and_changes_nothing(
    lab: Lab, pod: Pod, text: str, words: str
) -> None:
    pod.annotate(text)
    assert_told(lab, pod, "networks", words)
    assert set(pod.links()) == ifnames("keep")

    # The next good annotation counts, as if nothing had been.
    pod.annotate(["keep", "sibling"])
    pod.wait_for_link(ifname("sibling"))


BAD_ENTRIES: dict[str, tuple[Any, str]] = {
    "300 characters": ({"name": "x" * 300}, "is not the name of a network"),
    "a path": ({"name": f"../../{MARK}"}, "is not the name of a network"),
    "an absolute path": ({"name": f"/tmp/{MARK}"}, "is not the name of a network"),
    "another argument": ({"name": f"a;{VICTIM}"}, "is not the name of a network"),
    "a name with a newline": ({"name": "sibling\n"}, "is not the name of a network"),
    "a name with a NUL": ({"name": f"sib\0{MARK}"}, "is not the name of a network"),
    "a name in another script": ({"name": "s\u0456bling"}, "is not the name of a network"),
    "a number for a name": ({"name": 17}, "is not the name of a network"),
    "no name": ({"ifMac": MAC}, "has no name"),
    "no object": ("sibling", "must be an object with a name"),
    "ifMac with an argument": ({"name": "other", "ifMac": f"{MAC};{VICTIM}"}, "is not a unicast MAC"),
    "ifMac with a NUL": ({"name": "other", "ifMac": f"{MAC}\0"}, "is not a unicast MAC"),
    "ifMac with a newline": ({"name": "other", "ifMac": f"{MAC}\n"}, "is not a unicast MAC"),
    "ifMac of a group": ({"name": "other", "ifMac": "01:00:5e:00:00:01"}, "is not a unicast MAC"),
    "a namespace with a path": ({"name": "other", "namespace": f"../{MARK}"}, "is not the name of a namespace"),
    "a namespace of others": ({"name": "other", "namespace": "victim"}, "may not be used from this pod"),
    "an upper layer with a path": ({"name": "other", "upperLayers": [f"../{MARK}"]}, "is not the name of a network"),
    "upper layers in a string": ({"name": "other", "upperLayers": "sibling"}, "must be a list"),
    "a flag in a string": ({"name": "other", "podagentSkip": "yes"}, "must be true or false"),
}


@pytest.mark.parametrize(("entry", "words"), BAD_ENTRIES.values(), ids=BAD_ENTRIES)
def test_a_bad_entry_is_told_and_the_others_are_served(lab: Lab, pod: Pod, entry: Any, words: str) -> None:
    pod.annotate(json.dumps([{"name": "keep"}, entry, {"name": "sibling"}]))
    assert lab.sibling.holds(pod.wait_for_link(ifname("sibling")).addresses[0])
    assert_told(lab, pod, "networks[1]", words)
    assert set(pod.links()) == ifnames("keep", "sibling")


def test_a_bad_entry_leaves_the_interface_alone_that_it_may_have_meant(lab: Lab, pod: Pod) -> None:
    pod.annotate([{"name": "keep", "ifMac": "rubbish"}, "sibling"])
    pod.wait_for_link(ifname("sibling"))
    assert_told(lab, pod, "networks[0] (keep)", "is not a unicast MAC")

    # This one may have been meant to be `keep`: who knows.
    pod.annotate([{"nmae": "keep"}])
    assert_told(lab, pod, "networks[0]", "has no name")
    assert set(pod.links()) == ifnames("keep", "sibling")


def test_unknown_fields_are_told_and_the_entry_is_served(lab: Lab, pod: Pod) -> None:
    pod.annotate(["keep", {"name": "sibling", f"K8S_POD_IFMAC={MAC};x": 1, "ifmac": MAC}])
    link = pod.wait_for_link(ifname("sibling"))
    assert link.mac != MAC
    assert_told(lab, pod, "networks[1] (sibling)", "unknown field 'ifmac'")


def test_of_two_entries_with_one_name_the_first_counts(lab: Lab, pod: Pod) -> None:
    pod.annotate(["keep", "sibling", {"name": "sibling", "ifMac": MAC}])
    link = pod.wait_for_link(ifname("sibling"))
    assert link.mac != MAC
    assert_told(lab, pod, "networks[2] (sibling)", "listed twice")


def test_a_pod_that_claims_to_mirror_another_one_cannot_plug_it(lab: Lab, pod: Pod) -> None:
    claim = {"kubernetes.io/config.mirror": pod.uid}
    thief = lab.node.pod(namespace="thief", annotations=claim, networks=["sibling"])
    thief.wait_for_link(ifname("sibling"))
    assert set(pod.links()) == ifnames("keep")


def _bad_definitions(good: dict[str, Any]) -> dict[str, tuple[Any, str]]:
    """By network name: the object's spec, and what is said about it. `good` is a configuration that would work."""
    text = json.dumps(good)
    escape = good | {"ipam": good["ipam"] | {"type": f"../../{MARK}"}}
    chain = {"cniVersion": "0.4.0", "name": "chain", "plugins": [good | {"type": "bridge"}, {"type": "../tuning"}]}
    return {
        "type-with-path": ({"plugin": "../cni-bin/bridge", "config": text}, "plugin"),
        "type-absolute": ({"plugin": "/bin/sh", "config": text}, "plugin"),
        "type-unknown": ({"plugin": f"no-{MARK}", "config": text}, "not found"),
        "type-missing": ({"config": text}, "spec.plugin"),
        "ipam-with-path": ({"plugin": "bridge", "config": json.dumps(escape)}, "ipam"),
        "chain-with-path": ({"plugin": "bridge", "config": json.dumps(chain)}, "tuning"),
        "name-with-path": ({"plugin": "bridge", "config": json.dumps(good | {"name": f"../../{MARK}"})}, "name"),
        "version-unknown": ({"plugin": "bridge", "config": json.dumps(good | {"cniVersion": "9.9.9"})}, "cniVersion"),
        "not-json": ({"plugin": "bridge", "config": "{not json"}, "JSON"),
        "not-an-object": ({"plugin": "bridge", "config": "[1]"}, "object"),
        "config-is-object": ({"plugin": "bridge", "config": good}, "spec.config"),
        "too-large": ({"plugin": "bridge", "config": json.dumps(good | {"x": "y" * (1 << 20)})}, "1 MiB"),
        "spec-is-text": ("bridge", "spec"),
        "spec-missing": (None, "spec"),
    }


def test_every_malformed_definition_is_told_and_the_siblings_are_served(lab: Lab, pod: Pod) -> None:
    bad = _bad_definitions(lab.sibling.config)
    for name, (spec, _) in bad.items():
        made = definition(name, "tenant", "bridge", {})
        lab.api.create({key: value for key, value in (made | {"spec": spec}).items() if value is not None})
    pod.annotate(annotation(["keep", *bad, "sibling"]))
    assert lab.sibling.holds(pod.wait_for_link(ifname("sibling")).addresses[0])
    for name, (_, words) in bad.items():
        told = wait_for_event(lab.api, pod, "NetworkAttachFailed", f"network {name} ", words)
        assert told.isprintable()
        assert len(told) < 600
        wait_for_line(lab.agent, f"pod tenant/{pod.name} failed", f"network {name} ", words)
    assert set(pod.links()) == ifnames("keep", "sibling")
    assert not [r for r in records(lab.agent) if r["attachment"]["network"] in bad]
    # Nothing was even tried: the recorded runs are those of the good networks.
    assert {call.config["name"] for call in lab.plugins.calls("ADD")} <= {lab.keep.cni_name, lab.sibling.cni_name}

    pod.annotate(["keep"])
    pod.wait_for(lambda links: set(links) == ifnames("keep"))
