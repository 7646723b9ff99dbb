"""Sandboxes are replaced, die and go while their pod lives on, or with it."""

from __future__ import annotations

import pytest

from functional.bed import Bed
from functional.expectations import wait_for_line
from functional.outcomes import plugged
from functional.ways import BOTH_WAYS

pytestmark = pytest.mark.root


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
        old = pod.sandbox_id
        pod.replace_sandbox()
        assert pod.sandbox_id != old
        pod.annotate(networks)
    if away:
        bed.agent.start()
    bed.settles({same: made, fewer: made[1:], none: [], neighbour: made})
    assert plugged(neighbour) == before


def test_a_sandbox_replaced_again_and_again_ends_with_one_lease(bed: Bed) -> None:
    data = bed.networks.bridge("data")
    pod = bed.node.pod(networks=["data"])
    for _ in range(4):
        pod.replace_sandbox()
    bed.settles({pod: [data]})


@BOTH_WAYS
def test_a_sandbox_that_ends_during_an_attach_is_not_mistaken_for_the_next_one(bed: Bed) -> None:
    data = bed.networks.bridge("data")
    gate = bed.plugins.gate("bridge", "after")
    pod = bed.node.pod(networks=["data"])
    gate.wait_reached()
    pod.replace_sandbox()
    gate.open()
    bed.settles({pod: [data]})


@BOTH_WAYS
def test_a_pod_whose_sandbox_died_leaves_no_lease_however_it_goes(bed: Bed) -> None:
    data = bed.networks.bridge("data")
    deleted, forced, unplugged, neighbour = pods = bed.node.many(4, networks=["data"])
    bed.settles({pod: [data] for pod in pods})
    for pod in (deleted, forced, unplugged):
        pod.kill_sandbox()
    deleted.delete()
    forced.delete(grace=False)
    unplugged.annotate([])
    bed.settles({neighbour: [data]})


def test_a_pod_that_has_ended_keeps_its_object_but_no_lease(bed: Bed) -> None:
    data = bed.networks.bridge("data")
    succeeded, failed, neighbour = pods = bed.node.many(3, networks=["data"])
    bed.settles({pod: [data] for pod in pods})
    succeeded.finish("Succeeded")
    failed.finish("Failed")
    bed.settles({neighbour: [data]})
    assert all(bed.api.exists("pods", pod.namespace, pod.name) for pod in pods)


def test_a_restarted_container_changes_nothing_for_its_sandbox(bed: Bed) -> None:
    data, barrier = made = [bed.networks.bridge(), bed.networks.bridge()]
    pod = bed.node.pod(networks=[data.name])
    bed.settles({pod: [data]})
    before = plugged(pod)
    bed.plugins.record("bridge")
    pod.restart_container()
    pod.annotate([data.name, barrier.name])
    bed.settles({pod: made})
    assert before.items() <= plugged(pod).items()
    assert len(bed.plugins.calls()) == 1


def test_a_pod_is_detached_only_when_its_object_is_gone(bed: Bed) -> None:
    data = bed.networks.bridge("data")
    ending, killed, beside = pods = bed.node.many(3, networks=["data"])
    bed.settles({pod: [data] for pod in pods})
    bed.plugins.record("bridge")
    for pod in (ending, killed):
        bed.api.begin_deletion(pod.namespace, pod.name)
    killed.kill_sandbox()
    beside.annotate([])
    wait_for_line(bed.agent, "detached", beside.name)
    assert {lease.container_id for lease in data.leases()} == {ending.sandbox_id, killed.sandbox_id}
    assert [call.env["CNI_CONTAINERID"] for call in bed.plugins.calls("DEL")] == [beside.sandbox_id]
    for pod in (ending, killed):
        pod.delete()
    bed.settles({beside: []})
