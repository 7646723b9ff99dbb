"""The host's own network namespace is never touched, however a pod comes to use it."""

from __future__ import annotations

import pytest

from functional.bed import Bed
from functional.expectations import ifname, wait_for_event, wait_for_line
from functional.ways import BOTH_RUNTIMES
from lab.dockerd import PrivateDockerd
from lab.links import Links, links_of
from lab.node import Node, Pod

pytestmark = [pytest.mark.root, BOTH_RUNTIMES]


def pod_whose_sandbox_joined_by_a_detour(node: Node, other: Pod) -> Pod:
    """Docker's own answer does not show it: only the namespace itself does."""
    assert isinstance(node.runtime, PrivateDockerd)
    pod = node.pod(start=False)
    labels = {**pod.metadata.labels, "io.kubernetes.docker.type": "podsandbox"}
    pod.sandbox_id = node.runtime.create_container(labels, f"container:{other.sandbox_id}")
    node.runtime.start_container(pod.sandbox_id)
    pod.start_containers()
    pod.report_running()
    return pod


@pytest.mark.promise(
    "Pods: a pod uses the network of the host, openly or by a detour",
    "nothing is attached, and no interface of the host changes",
)
def test_the_network_of_the_host_is_refused_and_untouched(bed: Bed) -> None:
    network = bed.networks.bridge()
    bed.plugins.record("bridge")
    entirely, by_object = (bed.node.pod(host_network=True, start=False) for _ in range(2))
    by_object.host_network = False
    by_sandbox = bed.node.pod(start=False)
    by_sandbox.host_network = True
    for pod in (entirely, by_object, by_sandbox):
        pod.start()
    pods = [entirely, by_object, by_sandbox]
    if isinstance(bed.node.runtime, PrivateDockerd):
        pods.append(pod_whose_sandbox_joined_by_a_detour(bed.node, entirely))
    ordinary = bed.node.pod()
    before = lasting_links()
    for pod in (*pods, ordinary):
        pod.annotate([network.name])
    for pod in pods:
        reported = wait_for_event(bed.api, pod, "NetworkAttachFailed", network.name, "host")
        wait_for_line(bed.agent, f"to pod default/{pod.name} failed", network.name, "host")
        assert "nothing is attached" in reported
    # Others are served meanwhile, and taking the network back is no trouble.
    ordinary.wait_for_link(ifname(network))
    for pod in (*pods, ordinary):
        pod.annotate([])
    bed.settles({ordinary: []})

    assert lasting_links().items() >= before.items()
    assert ifname(network) not in links_of()
    assert {call.env["CNI_CONTAINERID"] for call in bed.plugins.calls()} == {ordinary.sandbox_id}


def lasting_links() -> Links:
    """The interfaces of the host, without those that other pods come and go with."""
    passing = ("veth", "pl", "data-br", "podagent-demo")
    return {name: link for name, link in links_of().items() if not name.startswith(passing)}
