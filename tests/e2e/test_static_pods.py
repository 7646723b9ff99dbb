"""Pods out of the kubelet's manifest folder: their API object is only a mirror, with another UID than their sandbox."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from e2e.cluster.cluster import Cluster
from e2e.cluster.layout import MANIFESTS, NODE_NAME
from e2e.nodepods import NodePod, NodePods, is_ending, pod_manifest
from functional.expectations import ifname
from functional.outcomes import settles
from lab.agent import AgentFactory
from lab.networks import Network
from lab.waiting import eventually

MIRROR = "kubernetes.io/config.mirror"
NAME = f"fixed-{NODE_NAME}"


class Manifest:
    """The file of one static pod."""

    def __init__(self, pods: NodePods) -> None:
        self._path = MANIFESTS / "fixed.json"
        self._pods = pods

    def write(self, *networks: Network) -> NodePod:
        """Writes it, and waits until that pod runs."""
        names = [network.name for network in networks]
        new = self._path.with_name(".new")
        new.write_text(json.dumps(pod_manifest("fixed", networks=names)))
        new.replace(self._path)
        return self.wait_running(lambda pod: pod.networks() == names)

    def wait_running(self, fits: Callable[[NodePod], bool]) -> NodePod:
        def running() -> list[NodePod]:
            return [pod for pod in self._found() if pod.sandbox_id and fits(pod) and pod.is_running()]

        return eventually(running, 90, "the static pod to run")[0]

    def remove(self) -> None:
        """And waits until the pod is gone."""
        going = self._found()
        self._path.unlink(missing_ok=True)
        for pod in going:
            pod.wait_gone()

    def _found(self) -> list[NodePod]:
        """The pod, if its mirror is there and stays."""
        mirror = self._pods.read("default", NAME)
        if not mirror or is_ending(metadata := mirror["metadata"]):
            return []
        return [NodePod(self._pods, "default", NAME, metadata["uid"], metadata["annotations"][MIRROR])]


@pytest.fixture
def manifest(cluster: Cluster, pods: NodePods, agent: AgentFactory) -> Iterator[Manifest]:
    made = Manifest(pods)
    yield made
    cluster.heal()
    made.remove()


def test_a_static_pod_follows_its_mirror_keeps_its_interfaces_without_it_and_loses_them_with_its_manifest(
    pods: NodePods, manifest: Manifest, agent: AgentFactory, two: list[Network]
) -> None:
    running = agent()
    pod = manifest.write(two[0])
    settles({pod: two[:1]}, two, running)
    before = pod.links()
    pod.remove()
    again = manifest.wait_running(lambda other: other.uid != pod.uid)
    # The networks of the new mirror show that the agent has seen it.
    again.annotate([network.name for network in two])
    settles({again: two}, two, running)
    assert again.links()[ifname(two[0])] == before[ifname(two[0])]
    manifest.remove()
    settles({}, two, running, 60)


def test_a_changed_manifest_makes_another_pod_with_other_networks_and_may_go_while_the_agent_is_away(
    manifest: Manifest, agent: AgentFactory, two: list[Network]
) -> None:
    running = agent()
    settles({manifest.write(two[0]): two[:1]}, two, running)
    settles({manifest.write(two[1]): two[1:]}, two, running, 90)
    running.stop()
    manifest.remove()
    running.start()
    settles({}, two, running, 60)
