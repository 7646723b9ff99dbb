"""Pods out of the kubelet's manifest folder: their API object is only a mirror, with another UID than their sandbox."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from e2e.cases import AWAY
from e2e.cluster.cluster import Cluster
from e2e.cluster.layout import NODE_NAME
from e2e.nodepods import NodePod, NodePods, pod_manifest
from functional.expectations import ifname
from functional.outcomes import wait_exactly
from lab.agent import AgentFactory
from lab.networks import Network
from lab.waiting import eventually

MIRROR = "kubernetes.io/config.mirror"
NAME = f"fixed-{NODE_NAME}"


class Manifest:
    """The file of one static pod."""

    def __init__(self, cluster: Cluster, pods: NodePods) -> None:
        self._path = cluster.layout.manifests / "fixed.json"
        self._pods = pods

    def write(self, networks: list[str]) -> NodePod:
        """Writes it, and waits until that pod runs."""
        new = self._path.with_name(".new")
        new.write_text(json.dumps(pod_manifest("fixed", networks=networks)))
        new.replace(self._path)
        return eventually(lambda: self._running(networks), 90, "the static pod to run")

    def pod(self) -> NodePod | None:
        """By its mirror, if that is there."""
        mirror = self._pods.read("default", NAME)
        if not mirror:
            return None
        metadata = mirror["metadata"]
        return NodePod(self._pods, "default", NAME, metadata["uid"], metadata["annotations"][MIRROR])

    def remove(self) -> None:
        pod = self.pod()
        self._path.unlink(missing_ok=True)
        if pod:
            eventually(lambda: not self.pod() and not pod.sandbox_id, 120, "the static pod to go")

    def _running(self, networks: list[str]) -> NodePod | None:
        pod = self.pod()
        found = pod.object() if pod else None
        if not pod or not found or "deletionTimestamp" in found["metadata"]:
            return None
        wanted = json.loads(found["metadata"]["annotations"]["networks"])
        return pod if [each["name"] for each in wanted] == networks and pod.is_running() and pod.sandbox_id else None


@pytest.fixture
def manifest(cluster: Cluster, pods: NodePods, agent: AgentFactory) -> Iterator[Manifest]:
    made = Manifest(cluster, pods)
    yield made
    cluster.heal()
    made.remove()


@AWAY
def test_a_static_pod_has_the_networks_of_its_manifest_until_that_is_removed(
    away: bool, manifest: Manifest, agent: AgentFactory, two: list[Network]
) -> None:
    running = agent()
    pod = manifest.write([network.name for network in two])
    wait_exactly({pod: two}, two, running)
    if away:
        running.stop()
    manifest.remove()
    if away:
        running.start()
    wait_exactly({}, two, running, 60)


def test_a_static_pod_whose_mirror_is_deleted_keeps_its_interfaces(
    cluster: Cluster, manifest: Manifest, agent: AgentFactory, two: list[Network]
) -> None:
    running = agent()
    pod = manifest.write([two[0].name])
    wait_exactly({pod: two[:1]}, two, running)
    before = pod.links()
    cluster.kubectl("delete", "pod", NAME, "--force", "--grace-period=0")

    def mirrored_again() -> NodePod | None:
        other = manifest.pod()
        return other if other and other.uid != pod.uid else None

    again = eventually(mirrored_again, 90, "another mirror of the static pod")
    # What is asked for on the new mirror shows that the agent has seen it, and what it made of it.
    again.annotate([network.name for network in two])
    wait_exactly({again: two}, two, running)
    assert again.links()[ifname(two[0])] == before[ifname(two[0])]


def test_a_static_pod_whose_manifest_changes_is_another_pod_with_other_networks(
    manifest: Manifest, agent: AgentFactory, two: list[Network]
) -> None:
    running = agent()
    old = manifest.write([two[0].name])
    wait_exactly({old: two[:1]}, two, running)
    new = manifest.write([two[1].name])
    wait_exactly({new: two[1:]}, two, running, 90)


def test_networks_of_a_running_static_pod_change_with_the_annotation_of_its_mirror(
    manifest: Manifest, agent: AgentFactory, two: list[Network]
) -> None:
    running = agent()
    pod = manifest.write([two[0].name])
    wait_exactly({pod: two[:1]}, two, running)
    pod.annotate([network.name for network in two])
    pod.wait_for_link(ifname(two[1]))
    wait_exactly({pod: two}, two, running)
