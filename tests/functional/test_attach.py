"""Which networks are attached, in which order, and with which definition."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from functional.bed import Bed
from functional.expectations import ifname, order, records, wait_for_event, wait_for_line
from functional.outcomes import plugged
from functional.ways import BOTH_RUNTIMES, BOTH_WAYS
from lab.networks import definition
from lab.waiting import eventually

pytestmark = [pytest.mark.root, BOTH_RUNTIMES]


@pytest.fixture(scope="module")
def agent_arguments() -> dict[str, Any]:
    return {"options": {"global-namespaces": "default,commons"}}


def test_primary_and_skipped_entries_are_left_alone(bed: Bed) -> None:
    primary, skipped, served = (bed.networks.bridge() for _ in range(3))
    entries = [{"name": primary.name, "isPrimary": True}, {"name": skipped.name, "podagentSkip": True}]
    pod = bed.node.pod(networks=[*entries, served.name])
    bed.settles({pod: [served]})
    attached = plugged(pod)[ifname(served)]

    # What is attached stays as it is with either flag; without one, the others come.
    pod.annotate([primary.name, skipped.name, {"name": served.name, "podagentSkip": True}])
    bed.settles({pod: [primary, skipped, served]})
    pod.annotate([{"name": primary.name, "isPrimary": True}, skipped.name, served.name])
    bed.settles({pod: [primary, skipped, served]})
    assert plugged(pod)[ifname(served)] == attached


def test_lower_layers_are_attached_first_and_detached_last(bed: Bed) -> None:
    top, middle, bottom = (bed.networks.bridge() for _ in range(3))
    bed.plugins.record("bridge")
    upwards = [ifname(bottom), ifname(middle), ifname(top)]
    lower = [{"name": middle.name, "upperLayers": [top.name]}, {"name": bottom.name, "upperLayers": [middle.name]}]
    pod = bed.node.pod(networks=[top.name, *lower])
    bed.settles({pod: [top, middle, bottom]})
    assert order(bed.plugins.calls("ADD")) == upwards

    pod.annotate([])
    bed.settles({pod: []})
    assert order(bed.plugins.calls("DEL")) == upwards[::-1]


def test_definitions_are_those_of_the_pods_namespace_of_default_and_of_the_global_namespaces(bed: Bed) -> None:
    own, common = bed.networks.bridge("data", "tenant"), bed.networks.bridge("data", "default")
    only_common = bed.networks.bridge("storage", "default")
    shared, foreign = bed.networks.bridge("shared", "commons"), bed.networks.bridge("secret", "other")
    pod = bed.node.pod(namespace="tenant", networks=["data", "storage", {"name": "shared", "namespace": "commons"}])
    bed.settles({pod: [own, only_common, shared]})

    # The namespace that an entry names is the only one asked; that of others is refused.
    pod.annotate([{"name": "data", "namespace": "default"}, {"name": foreign.name, "namespace": "other"}])
    reported = wait_for_event(bed.api, pod, "NetworkAnnotationInvalid", "networks[1]", "secret", "namespace other")
    assert "global-namespaces" in reported
    wait_for_line(bed.agent, f"pod tenant/{pod.name}", reported)
    bed.settles({pod: [common]})

    # Without naming the namespace it is not found either.
    pod.annotate(["data", "secret"])
    wait_for_event(bed.api, pod, "NetworkAttachFailed", "secret", "not defined", "tenant or default")
    bed.settles({pod: [own]})


@pytest.mark.promise(
    "Definitions: a definition is missing or wrong, and is created or corrected later",
    "an Event names the fault; the network is attached once the definition is right",
)
@BOTH_WAYS
def test_a_network_is_attached_once_its_definition_is_there_and_correct(bed: Bed) -> None:
    late, misspelt, half_made, beside = made = [bed.networks.bridge() for _ in range(4)]
    no_ipam = half_made.config | {"ipam": half_made.config["ipam"] | {"type": "host-lokal"}}
    bed.networks.undefine(late)
    define(bed, misspelt.name, {"plugin": "bridgge"})
    define(bed, half_made.name, {"config": json.dumps(no_ipam)})
    pod = bed.node.pod(networks=[network.name for network in made])
    wait_for_event(bed.api, pod, "NetworkAttachFailed", late.name, "not defined")
    wait_for_event(bed.api, pod, "NetworkAttachFailed", misspelt.name, "bridgge: not found")
    wait_for_event(bed.api, pod, "NetworkAttachFailed", half_made.name, "host-lokal")
    # Only what may be there stays recorded: DEL of the half-made one failed as ADD did.
    eventually(lambda: phases(bed) == {half_made.name: "DETACHING", beside.name: "ATTACHED"})

    bed.api.create(definition(late.name, late.namespace, "bridge", late.config))
    define(bed, misspelt.name, {"plugin": "bridge"})
    define(bed, half_made.name, {"config": json.dumps(half_made.config)})
    bed.settles({pod: made})


def phases(bed: Bed) -> dict[str, str]:
    return {record["attachment"]["network"]: record["phase"] for record in records(bed.agent)}


def define(bed: Bed, name: str, spec: dict[str, Any]) -> None:
    bed.api.patch("networks", "default", name, {"spec": spec})


@pytest.mark.promise(
    "Definitions: a definition in use is changed or deleted",
    "interfaces stay, and are detached with the configuration that attached them",
)
def test_a_definition_changed_or_deleted_later_touches_nothing_and_detaches_as_it_attached(bed: Bed) -> None:
    changed, deleted, barrier = made = [bed.networks.bridge() for _ in range(3)]
    bed.plugins.record("bridge")
    pod = bed.attached(changed, deleted)
    attached = plugged(pod)

    define(bed, changed.name, {"config": json.dumps({**changed.config, "mtu": 1400})})
    bed.networks.undefine(deleted)
    bed.agent.reload()
    wait_for_line(bed.agent, "reloaded")
    pod.annotate([network.name for network in made])
    bed.settles({pod: made})
    assert attached.items() <= plugged(pod).items()
    assert not bed.plugins.calls("DEL")

    pod.annotate([barrier.name])
    bed.settles({pod: [barrier]})
    assert ["mtu" in call.config for call in bed.plugins.calls("DEL")] == [False, False]


def test_networks_annotated_from_the_start_are_there_before_the_containers(bed: Bed) -> None:
    network, barrier = bed.networks.bridge(), bed.networks.bridge()
    bed.plugins.record("bridge")
    pod = bed.node.pod(networks=[network.name], start=False)
    pod.start_sandbox()
    attached = pod.wait_for_link(ifname(network), timeout=5)
    assert bed.api.get("pods", pod.namespace, pod.name)["status"]["phase"] == "Pending"

    # Init containers find it, and the application finds the same.
    pod.start_containers()
    pod.report_running()
    pod.annotate([network.name, barrier.name])
    bed.settles({pod: [network, barrier]})
    assert plugged(pod)[ifname(network)] == attached
    assert order(bed.plugins.calls()) == [ifname(network), ifname(barrier)]


@BOTH_WAYS
@pytest.mark.parametrize("separator", [":", ","])
def test_plugins_are_found_in_every_directory_of_the_path(own_bed: Callable[..., Bed], separator: str) -> None:
    bed = own_bed()
    other = bed.workdir / "other-bin"
    other.mkdir()
    (bed.plugins.path / "host-local").rename(other / "host-local")
    bed.agent.stop()
    bed.agent.options["cni-bin-path"] = f"{bed.plugins.path}{separator}{other}"
    bed.agent.start()
    pod = bed.attached(bed.networks.bridge())
    pod.annotate([])
    bed.settles({pod: []})
