"""Every way in which pods go and others come in their place."""

from __future__ import annotations

import json

import pytest

from e2e.cluster.cluster import Cluster
from e2e.nodepods import NodePod, NodePods
from functional.outcomes import settles
from lab.agent import AgentFactory
from lab.networks import Network


def _evict(cluster: Cluster, pod: NodePod) -> None:
    metadata = {"name": pod.name, "namespace": pod.namespace}
    eviction = {"apiVersion": "policy/v1beta1", "kind": "Eviction", "metadata": metadata}
    path = f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}/eviction"
    cluster.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(eviction))


def _update(cluster: Cluster, deployment: str, network: Network) -> None:
    template = {"metadata": {"annotations": {"networks": json.dumps([{"name": network.name}])}}}
    cluster.kubectl("patch", "deployment", deployment, "-p", json.dumps({"spec": {"template": template}}))


@pytest.mark.parametrize("away", [False, True], ids=["agent-at-work", "agent-away"])
def test_pods_that_go_in_every_way_leave_nothing_and_those_that_come_have_networks_of_their_own(
    away: bool, cluster: Cluster, pods: NodePods, agent: AgentFactory, two: list[Network]
) -> None:
    """All at once: the kubelet takes its time to have the object of an ended pod deleted."""
    running = agent()
    names = [network.name for network in two]
    deleted, forced = single = [pods.make(networks=names[:1]) for _ in range(2)]
    single.append(pods.make(namespace=pods.use_namespace(), networks=names[:1]))
    for pod in single:
        pod.annotate(names)
    [evicted] = pods.deployment("evicted", 1, names)
    old = pods.deployment("rolling", 2, names[:1])
    settles(dict.fromkeys([*single, evicted], two) | dict.fromkeys(old, two[:1]), two, running)

    if away:
        running.stop()
    cluster.kubectl("delete", "pod", deleted.name, "--wait=false")
    cluster.kubectl("delete", "namespace", single[-1].namespace, "--wait=false")
    _evict(cluster, evicted)
    _update(cluster, "rolling", two[1])
    forced.remove()
    successor = pods.make(forced.name, networks=names[1:])
    for pod in (*single, evicted, *old):
        pod.wait_gone()
    [evicted_successor], new = pods.wait_for_deployment("evicted", 1), pods.wait_for_deployment("rolling", 2)
    if away:
        running.start()
    settles({evicted_successor: two} | dict.fromkeys([successor, *new], two[1:]), two, running, 60)
