"""Kubelet, runtime, sandboxes and containers that are restarted or end, under pods with networks."""

from __future__ import annotations

import pytest

from e2e.cluster.cluster import Cluster
from e2e.nodepods import NodePod, NodePods
from functional.expectations import ifname
from functional.outcomes import settles
from lab.agent import AgentFactory
from lab.networks import Network
from lab.waiting import eventually


def test_a_restart_around_a_running_pod_leaves_its_interfaces_alone(
    pods: NodePods, agent: AgentFactory, two: list[Network]
) -> None:
    running = agent()
    pod = _pod_with_both(pods, two)
    settles({pod: two}, two, running)
    before, killed = pod.links(), pod.container
    pods.runtime.kill(killed)
    pod.wait_new_container(killed)
    assert pod.links() == before
    settles({pod: two}, two, running)

    with pods.runtime.away(keep_containers=True):
        pod.annotate([two[0].name])
    settles({pod: two[:1]}, two, running, 90)
    assert pod.links()[ifname(two[0])] == before[ifname(two[0])]


def test_networks_change_while_the_kubelet_is_away_whose_return_changes_nothing(
    cluster: Cluster, pods: NodePods, agent: AgentFactory, two: list[Network]
) -> None:
    assert cluster.kubelet
    running = agent()
    pod = pods.make(networks=[two[0].name])
    settles({pod: two[:1]}, two, running)
    cluster.kubelet.stop()
    pod.annotate([network.name for network in two])
    settles({pod: two}, two, running)
    running.stop()
    pod.annotate([two[1].name])
    running.start()
    settles({pod: two[1:]}, two, running)

    before = pod.links(), pod.container
    cluster.kubelet.start()
    later = pods.make()  # whose start shows that the kubelet is at work again
    assert (pod.links(), pod.container) == before
    settles({pod: two[1:], later: []}, two, running)


def test_killed_sandboxes_come_back_as_the_annotations_are_by_then(
    cluster: Cluster, pods: NodePods, agent: AgentFactory, two: list[Network]
) -> None:
    assert cluster.kubelet
    running = agent()
    same, changed = _pod_with_both(pods, two), pods.make(networks=[two[0].name])
    settles({same: two, changed: two[:1]}, two, running)
    cluster.kubelet.stop()  # it would remove the sandboxes, and make others
    killed = {pod: pod.kill_sandbox() for pod in (same, changed)}
    if pods.runtime.reports_ends:  # else the interfaces stay until the kubelet replaces the sandboxes
        eventually(lambda: not [each for network in two for each in network.leases()], 30, "the leases to be released")
    cluster.kubelet.start()
    changed.annotate([two[1].name])
    for pod, old in killed.items():
        pod.wait_new_sandbox(old)
    settles({same: two, changed: two[1:]}, two, running, 60)


@pytest.mark.parametrize("away", [False, True], ids=["agent-at-work", "agent-away"])
def test_after_a_restart_of_the_runtime_that_ends_all_containers_the_networks_are_back(
    away: bool, pods: NodePods, agent: AgentFactory, two: list[Network]
) -> None:
    running = agent()
    *same, changed = some = [_pod_with_both(pods, two) for _ in range(3)]
    settles(dict.fromkeys(some, two), two, running)
    old = {pod: pod.sandbox_id for pod in some}
    if away:
        running.stop()
        changed.annotate([two[1].name])
    pods.runtime.restart()
    for pod in some:
        pod.wait_new_sandbox(old[pod])
    if away:
        running.start()
    settles(dict.fromkeys(same, two) | {changed: two[1:] if away else two}, two, running, 90)


def _pod_with_both(pods: NodePods, two: list[Network]) -> NodePod:
    """One network from the start, one that came later."""
    pod = pods.make(networks=[two[0].name])
    pod.annotate([network.name for network in two])
    return pod
