"""Every way in which a pod goes, with the agent at work and with the agent away: nothing of it stays."""

from __future__ import annotations

import json

from e2e.cases import AWAY
from e2e.cluster.cluster import Cluster
from e2e.nodepods import NodePod, NodePods
from functional.expectations import ifname, records
from functional.outcomes import wait_exactly
from lab.agent import AgentFactory
from lab.networks import Network
from lab.waiting import eventually


def _delete(cluster: Cluster, pod: NodePod) -> None:
    cluster.kubectl("delete", "pod", pod.name, "-n", pod.namespace, "--wait=false")


def _delete_by_force(cluster: Cluster, pod: NodePod) -> None:
    cluster.kubectl("delete", "pod", pod.name, "-n", pod.namespace, "--force", "--grace-period=0")


def _delete_namespace(cluster: Cluster, pod: NodePod) -> None:
    cluster.kubectl("delete", "namespace", pod.namespace, "--wait=false")


def _evict(cluster: Cluster, pod: NodePod) -> None:
    eviction = {
        "apiVersion": "policy/v1beta1",
        "kind": "Eviction",
        "metadata": {"name": pod.name, "namespace": pod.namespace},
    }
    path = f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}/eviction"
    cluster.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(eviction))


# All at once: what takes long is that the kubelet looks at ended pods only now and then.
WAYS = (_delete, _delete_by_force, _evict, _delete_namespace)


@AWAY
def test_pods_that_go_in_every_way_leave_no_interface_lease_or_record(
    away: bool, cluster: Cluster, pods: NodePods, agent: AgentFactory, two: list[Network]
) -> None:
    """Each with one network from its start, and one that came later."""
    running = agent()
    ends = {end: pods.make(namespace=pods.use_namespace(), networks=[two[0].name]) for end in WAYS}
    for pod in ends.values():
        pod.annotate([network.name for network in two])
    wait_exactly(dict.fromkeys(ends.values(), two), two, running)
    if away:
        running.stop()
    for end, pod in ends.items():
        end(cluster, pod)
    for pod in ends.values():
        pod.wait_gone()
    if away:
        running.start()
    wait_exactly({}, two, running, 60)


@AWAY
def test_a_pod_of_that_name_that_comes_next_gets_networks_of_its_own(
    away: bool, cluster: Cluster, pods: NodePods, agent: AgentFactory, two: list[Network]
) -> None:
    running = agent()
    pod = pods.make(networks=[network.name for network in two])
    wait_exactly({pod: two}, two, running)
    if away:
        running.stop()
    _delete_by_force(cluster, pod)
    successor = pods.make(pod.name, networks=[two[1].name])
    if away:
        running.start()
    wait_exactly({successor: two[1:]}, two, running, 60)


@AWAY
def test_deployments_that_are_evicted_or_updated_hand_their_networks_on(
    away: bool, cluster: Cluster, pods: NodePods, agent: AgentFactory, two: list[Network]
) -> None:
    running = agent()
    [evicted] = pods.deployment("evicted", 1, [network.name for network in two])
    old = pods.deployment("rolling", 3, [two[0].name])
    wait_exactly({evicted: two} | dict.fromkeys(old, two[:1]), two, running)
    if away:
        running.stop()
    _evict(cluster, evicted)
    template = {"metadata": {"annotations": {"networks": json.dumps([{"name": two[1].name}])}}}
    cluster.kubectl("patch", "deployment", "rolling", "-p", json.dumps({"spec": {"template": template}}))
    for pod in (evicted, *old):
        pod.wait_gone()
    [successor] = pods.wait_for_deployment("evicted", 1)
    new = pods.wait_for_deployment("rolling", 3)
    if away:
        running.start()
    assert not {pod.uid for pod in (evicted, *old)} & {pod.uid for pod in (successor, *new)}
    wait_exactly({successor: two} | dict.fromkeys(new, two[1:]), two, running, 60)


def test_a_pod_that_has_done_its_work_gives_its_addresses_back(
    cluster: Cluster, pods: NodePods, agent: AgentFactory, two: list[Network]
) -> None:
    running = agent()
    name = ifname(two[0])
    body = f"until ip link show {name}; do sleep 0.1; done; sleep 1"
    pod = pods.make(networks=[two[0].name], command=body, restart="Never", wait=False)
    eventually(lambda: (pod.object() or {})["status"]["phase"] == "Succeeded", 60, f"{pod} to have done its work")
    eventually(lambda: not two[0].leases(), 30, "the lease to be released")
    eventually(lambda: not records(running), 30, "the record to be forgotten")
    assert pod.object()
