"""The host's own network namespace is never touched, whatever says that a pod uses it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from functional.expectations import ifname, wait_for_event, wait_for_line, wait_for_nothing_left
from functional.ways import BOTH_WAYS
from lab.agent import AgentFactory
from lab.apiserver import ApiServer
from lab.dockerd import PrivateDockerd
from lab.links import Links, links_of
from lab.networks import Networks
from lab.node import Node, Pod
from lab.plugins import PluginDir

pytestmark = [pytest.mark.root, BOTH_WAYS]


def host_network_pod(node: Node) -> Pod:
    return node.pod(host_network=True)


def pod_whose_sandbox_is_in_the_host_network(node: Node) -> Pod:
    """The object says nothing of it."""
    pod = node.pod(start=False)
    pod.host_network = True
    pod.start()
    return pod


def pod_whose_object_alone_says_host_network(node: Node) -> Pod:
    pod = node.pod(host_network=True, start=False)
    pod.host_network = False
    pod.start()
    return pod


def pod_whose_sandbox_joined_the_host_network_by_a_detour(node: Node) -> Pod:
    """Docker's own answer does not show it: only the namespace itself does. No other runtime can be told so."""
    dockerd = node.runtime
    assert isinstance(dockerd, PrivateDockerd)
    other = node.pod(host_network=True)
    pod = node.pod(start=False)
    labels = {**pod.metadata.labels, "io.kubernetes.docker.type": "podsandbox"}
    pod.sandbox_id = dockerd.create_container(labels, f"container:{other.sandbox_id}")
    dockerd.start_container(pod.sandbox_id)
    pod.start_containers()
    pod.report_running()
    return pod


@pytest.mark.parametrize(
    "make_pod",
    [
        host_network_pod,
        pod_whose_sandbox_is_in_the_host_network,
        pod_whose_object_alone_says_host_network,
        pod_whose_sandbox_joined_the_host_network_by_a_detour,
    ],
)
def test_refuses_to_touch_the_network_of_the_host(
    agent: AgentFactory, api: ApiServer, node: Node, networks: Networks, plugins: PluginDir,
    make_pod: Callable[[Node], Pod],
) -> None:  # fmt: skip
    network = networks.bridge()
    plugins.record("bridge")
    running = agent()
    pod, ordinary = make_pod(node), node.pod()
    before = lasting_links()

    pod.annotate([network.name])
    told = wait_for_event(api, pod, "NetworkAttachFailed", network.name, "host")
    wait_for_line(running, f"to pod default/{pod.name} failed", network.name, "host")
    assert "nothing is attached" in told
    # Others are served meanwhile, and taking the network back is no trouble.
    ordinary.annotate([network.name])
    ordinary.wait_for_link(ifname(network))
    pod.annotate([])
    ordinary.annotate([])
    wait_for_nothing_left(running, network)

    assert lasting_links().items() >= before.items()
    assert ifname(network) not in links_of()
    assert {call.env["CNI_CONTAINERID"] for call in plugins.calls()} == {ordinary.sandbox_id}


def lasting_links() -> Links:
    """The interfaces of the host, without those that other pods come and go with."""
    passing = ("veth", "pl", "data-br", "podagent-demo")
    return {name: link for name, link in links_of().items() if not name.startswith(passing)}
