"""Kubelet, Docker and sandboxes that are restarted or end, under pods with networks."""

from __future__ import annotations

from e2e.cases import AWAY
from e2e.cluster.cluster import Cluster
from e2e.nodepods import NodePod, NodePods
from functional.expectations import ifname
from functional.outcomes import wait_exactly
from lab.agent import AgentFactory
from lab.networks import Network


def test_a_restarted_kubelet_changes_nothing(
    cluster: Cluster, pods: NodePods, agent: AgentFactory, two: list[Network]
) -> None:
    running = agent()
    pod = pods.make(networks=[two[0].name])
    pod.annotate([network.name for network in two])
    wait_exactly({pod: two}, two, running)
    before = pod.links(), pod.containers()
    cluster.stop_kubelet()
    cluster.start_kubelet()
    later = pods.make()  # whose start shows that the kubelet is at work again
    assert (pod.links(), pod.containers()) == before
    wait_exactly({pod: two, later: []}, two, running)


@AWAY
def test_networks_change_while_the_kubelet_is_away(
    away: bool, cluster: Cluster, pods: NodePods, agent: AgentFactory, two: list[Network]
) -> None:
    running = agent()
    pod = pods.make(networks=[two[0].name])
    wait_exactly({pod: two[:1]}, two, running)
    cluster.stop_kubelet()
    if away:
        running.stop()
    pod.annotate([two[1].name])
    if away:
        running.start()
    wait_exactly({pod: two[1:]}, two, running)
    before = pod.links()
    cluster.start_kubelet()
    later = pods.make()  # whose start shows that the kubelet is at work again
    assert pod.links() == before
    wait_exactly({pod: two[1:], later: []}, two, running)


@AWAY
def test_a_sandbox_that_is_killed_comes_back_with_its_networks_and_no_stale_lease(
    away: bool, pods: NodePods, agent: AgentFactory, two: list[Network]
) -> None:
    running = agent()
    pod = _pod_with_both(pods, two)
    wait_exactly({pod: two}, two, running)
    old = pod.sandbox_id
    if away:
        running.stop()
    pods.kill_sandbox(pod)
    pods.wait_new_sandbox(pod, old)
    if away:
        running.start()
    wait_exactly({pod: two}, two, running, 60)


def test_a_sandbox_that_is_killed_comes_back_as_the_annotation_is_by_then(
    pods: NodePods, agent: AgentFactory, two: list[Network]
) -> None:
    running = agent()
    pod = pods.make(networks=[two[0].name])
    wait_exactly({pod: two[:1]}, two, running)
    old = pod.sandbox_id
    running.stop()
    pods.kill_sandbox(pod)
    pod.annotate([two[1].name])
    pods.wait_new_sandbox(pod, old)
    running.start()
    wait_exactly({pod: two[1:]}, two, running, 60)


def test_a_container_that_is_restarted_keeps_its_interfaces(
    cluster: Cluster, pods: NodePods, agent: AgentFactory, two: list[Network]
) -> None:
    running = agent()
    pod = _pod_with_both(pods, two)
    wait_exactly({pod: two}, two, running)
    before = pod.links()
    [(_, identifier, _)] = pod.containers()
    pods.runtime.kill(identifier.partition("://")[2])
    pods.wait_restarted(pod)
    assert pod.links() == before
    wait_exactly({pod: two}, two, running)


@AWAY
def test_after_a_restart_of_docker_that_ends_all_containers_the_networks_are_back(
    away: bool, pods: NodePods, agent: AgentFactory, two: list[Network]
) -> None:
    running = agent()
    some = [_pod_with_both(pods, two) for _ in range(3)]
    wait_exactly(dict.fromkeys(some, two), two, running)
    old = {pod: pod.sandbox_id for pod in some}
    if away:
        running.stop()
    pods.runtime.restart()
    for pod in some:
        pods.wait_new_sandbox(pod, old[pod])
    if away:
        running.start()
    wait_exactly(dict.fromkeys(some, two), two, running, 90)


def test_a_restart_of_docker_that_keeps_containers_changes_nothing(
    pods: NodePods, agent: AgentFactory, two: list[Network]
) -> None:
    running = agent()
    pod = _pod_with_both(pods, two)
    wait_exactly({pod: two}, two, running)
    before = pod.links()
    with pods.runtime.away(keep_containers=True):
        pod.annotate([two[0].name])
    wait_exactly({pod: two[:1]}, two, running, 90)
    assert pod.links()[ifname(two[0])] == before[ifname(two[0])]


def _pod_with_both(pods: NodePods, two: list[Network]) -> NodePod:
    """One network from the start, one that came later."""
    pod = pods.make(networks=[two[0].name])
    pod.annotate([network.name for network in two])
    for network in two:
        pod.wait_for_link(ifname(network))
    return pod
