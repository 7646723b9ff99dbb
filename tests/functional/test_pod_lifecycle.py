"""Pods and their sandboxes are replaced, die and go; names come again, UIDs do not."""

from __future__ import annotations

import pytest

from functional.bed import Bed
from functional.expectations import ifname, records, wait_for_line
from functional.outcomes import plugged
from functional.ways import BOTH_RUNTIMES, BOTH_WAYS

pytestmark = [pytest.mark.root, BOTH_RUNTIMES]


@pytest.mark.promise(
    "Pods: a sandbox is replaced, with the agent at work or stopped",
    "the new sandbox gets the networks of the annotation; the old addresses are released",
)
@BOTH_WAYS
@pytest.mark.parametrize("away", [False, True], ids=["agent at work", "agent away"])
def test_networks_come_back_in_a_replaced_sandbox_as_they_are_wanted_by_then(bed: Bed, away: bool) -> None:
    made = [bed.networks.bridge("data"), bed.networks.bridge("red", tuning=True)]
    same, fewer, none, neighbour = bed.node.many(4, networks=["data", "red"])
    bed.settles(dict.fromkeys([same, fewer, none, neighbour], made))
    before = plugged(neighbour)
    if away:
        bed.agent.kill()
    for pod, networks in ((same, ["data", "red"]), (fewer, ["red"]), (none, [])):
        pod.replace_sandbox()
        pod.annotate(networks)
    same.replace_sandbox()
    if away:
        bed.agent.start()
    bed.settles({same: made, fewer: made[1:], none: [], neighbour: made})
    assert plugged(neighbour) == before


@pytest.mark.promise("Pods: a sandbox is replaced during ADD", "the ADD is undone; the new sandbox gets the network")
@BOTH_WAYS
def test_a_sandbox_that_ends_during_an_attach_is_not_mistaken_for_the_next_one(bed: Bed) -> None:
    data = bed.networks.bridge("data")
    gate = bed.plugins.gate("bridge", "after")
    pod = bed.node.pod(networks=["data"])
    gate.wait_reached()
    pod.replace_sandbox()
    gate.open()
    bed.settles({pod: [data]})


@pytest.mark.promise(
    "Pods: a sandbox dies, then its pod is deleted, forced to go, or loses its annotation",
    "no address leaks",
)
@BOTH_WAYS
def test_a_pod_whose_sandbox_died_leaves_no_lease_however_it_goes(bed: Bed) -> None:
    data = bed.networks.bridge("data")
    deleted, forced, unplugged, neighbour = bed.all_attached(4, data)
    for pod in (deleted, forced, unplugged):
        pod.kill_sandbox()
    deleted.delete()
    forced.delete(grace=False)
    unplugged.annotate([])
    bed.settles({neighbour: [data]})


def test_a_pod_that_has_ended_keeps_its_object_but_no_lease(bed: Bed) -> None:
    data = bed.networks.bridge("data")
    succeeded, failed, neighbour = pods = bed.all_attached(3, data)
    succeeded.finish("Succeeded")
    failed.finish("Failed")
    bed.settles({neighbour: [data]})
    assert all(bed.api.exists("pods", pod.namespace, pod.name) for pod in pods)


def test_a_restarted_container_changes_nothing_for_its_sandbox(bed: Bed) -> None:
    data, barrier = made = [bed.networks.bridge(), bed.networks.bridge()]
    pod = bed.attached(data)
    before = plugged(pod)
    bed.plugins.record("bridge")
    pod.restart_container()
    pod.annotate([data.name, barrier.name])
    bed.settles({pod: made})
    assert before.items() <= plugged(pod).items()
    assert len(bed.plugins.calls()) == 1


def test_a_pod_is_detached_when_its_sandbox_has_ended_or_its_object_is_gone_not_while_it_ends(bed: Bed) -> None:
    data = bed.networks.bridge("data")
    ending, killed, beside = bed.all_attached(3, data)
    bed.plugins.record("bridge")
    for pod in (ending, killed):
        bed.api.begin_deletion(pod.namespace, pod.name)
    killed.lose_sandbox()
    wait_for_line(bed.agent, "detached", killed.name)
    beside.annotate([])
    wait_for_line(bed.agent, "detached", beside.name)
    assert {lease.container_id for lease in data.leases()} == {ending.sandbox_id}
    assert [call.env["CNI_CONTAINERID"] for call in bed.plugins.calls("DEL")] == [killed.sandbox_id, beside.sandbox_id]
    for pod in (ending, killed):
        pod.delete()
    bed.settles({beside: []})


def test_two_pods_of_one_name_in_two_namespaces_are_never_crossed(bed: Bed) -> None:
    common = bed.networks.bridge("common")
    of_red, of_blue = bed.networks.bridge("own", "red"), bed.networks.bridge("own", "blue")
    red, blue = bed.node.pod("web", "red"), bed.node.pod("web", "blue")
    red.annotate(["own", "common"])
    blue.annotate(["common", "own"])
    bed.settles({red: [of_red, common], blue: [of_blue, common]})

    staying = plugged(blue)
    red.annotate(["own"])
    bed.settles({red: [of_red], blue: [of_blue, common]})
    red.delete()
    bed.settles({blue: [of_blue, common]})
    assert plugged(blue) == staying


@pytest.mark.promise(
    "Pods: a pod is deleted and made again under its name",
    "the new pod gets its own interfaces; those of the old one go",
)
@pytest.mark.parametrize("away", [False, True], ids=["agent at work", "agent away"])
def test_a_pod_made_again_under_its_name_has_its_own_attachments(bed: Bed, away: bool) -> None:
    both, only_old, only_new = (bed.networks.bridge() for _ in range(3))
    gone, lingering = old = [bed.node.pod(name, networks=[both.name, only_old.name]) for name in ("gone", "lingering")]
    bed.settles({pod: [both, only_old] for pod in old})
    if away:
        bed.agent.stop()
    gone.delete()
    bed.api.delete("pods", lingering.namespace, lingering.name)  # its containers still run
    new = [bed.node.pod(pod.name, networks=[both.name, only_new.name]) for pod in old]
    if away:
        bed.agent.start()
    bed.settles({lingering: []} | {pod: [both, only_new] for pod in new})
    assert {record["pod"]["uid"] for record in records(bed.agent)} == {pod.uid for pod in new}


@pytest.mark.promise(
    "Pods: the mirror object of a static pod is deleted",
    "the pod keeps its networks until it ends itself",
)
def test_a_static_pod_keeps_its_networks_until_it_ends_itself_whatever_its_mirror_object_does(bed: Bed) -> None:
    network, barrier = made = [bed.networks.bridge(), bed.networks.bridge()]
    pod, beside = bed.node.pod(static=True, networks=[network.name]), bed.node.pod()
    bed.settles({pod: [network], beside: []})
    attached = plugged(pod)[ifname(network)]

    mirror = bed.api.delete("pods", pod.namespace, pod.name)
    beside.annotate([barrier.name])
    bed.settles({pod: [network], beside: [barrier]})
    del mirror["metadata"]["uid"], mirror["metadata"]["resourceVersion"]
    pod.object_uid = bed.api.create(mirror)["metadata"]["uid"]
    pod.report_running()
    pod.annotate([network.name, barrier.name])
    bed.settles({pod: made, beside: [barrier]})
    assert plugged(pod)[ifname(network)] == attached

    pod.annotate([network.name])
    bed.settles({pod: [network], beside: [barrier]})
    pod.delete()
    bed.settles({beside: [barrier]})
