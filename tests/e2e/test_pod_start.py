"""Pods that have networks, or an annotation, from the start."""

from __future__ import annotations

import pytest

from e2e.cluster.cluster import Cluster
from e2e.nodepods import NodePods
from functional.expectations import ifname, records, wait_for_line
from functional.outcomes import PINGED, restart, wait_exactly
from lab.agent import AgentFactory
from lab.links import links_of
from lab.networks import Networks


def test_a_pod_gets_the_networks_that_it_is_annotated_with_from_the_start(
    cluster: Cluster, pods: NodePods, networks: Networks, agent: AgentFactory
) -> None:
    running = agent()
    two = [networks.bridge(), networks.bridge(tuning=True)]
    pod = pods.make(networks=[network.name for network in two])
    wait_exactly({pod: two}, two, running)
    for network in two:
        wait_for_line(running, "attached" if cluster.system_plugin == "bridge" else "adopted", ifname(network))


def test_the_agent_takes_over_what_is_there_already_without_touching_it(
    cluster: Cluster, pods: NodePods, networks: Networks, agent: AgentFactory
) -> None:
    taking_over = agent(start=False, env={**cluster.layout.mark, **PINGED})
    network = networks.bridge()
    pod = pods.make(networks=[network.name])
    if cluster.system_plugin == "bridge":
        assert set(pod.links()) == {"lo", "eth0"}
        taking_over.start()
    before = pod.wait_for_link(ifname(network))
    if not taking_over.running:
        taking_over.start()
    wait_exactly({pod: [network]}, [network], taking_over)
    taking_over.stop()
    restart(taking_over)  # and has looked at every pod
    wait_exactly({pod: [network]}, [network], taking_over)
    assert pod.links()[ifname(network)] == before
    assert [record["adopted"] for record in records(taking_over)] == [cluster.system_plugin == "kactus"]


def test_init_containers_can_wait_for_the_networks(
    pods: NodePods, networks: Networks, agent: AgentFactory, cluster: Cluster
) -> None:
    running = agent()
    network = networks.bridge()
    name = ifname(network)
    pod = pods.make(networks=[network.name], init=f"until ip link show {name}; do sleep 0.1; done")
    wait_exactly({pod: [network]}, [network], running)


def test_the_requested_mac_is_that_of_the_interface(pods: NodePods, networks: Networks, agent: AgentFactory) -> None:
    agent()
    early, late = networks.bridge(tuning=True), networks.bridge(tuning=True)
    pod = pods.make(networks=[{"name": early.name, "ifMac": "02:00:00:00:00:01"}])
    assert pod.wait_for_link(ifname(early)).mac == "02:00:00:00:00:01"
    pod.annotate(
        [{"name": early.name, "ifMac": "02:00:00:00:00:01"}, {"name": late.name, "ifMac": "02:00:00:00:00:02"}]
    )
    assert pod.wait_for_link(ifname(late)).mac == "02:00:00:00:00:02"


@pytest.mark.parametrize("text", ["[]", ""])
def test_a_pod_with_an_empty_list_starts_and_can_get_networks(
    text: str, pods: NodePods, networks: Networks, agent: AgentFactory
) -> None:
    running = agent()
    network = networks.bridge()
    pod = pods.make(annotations={"networks": text})
    assert set(pod.links()) == {"lo", "eth0"}
    pod.annotate([network.name])
    wait_exactly({pod: [network]}, [network], running)
    pod.annotate("[]")
    wait_exactly({pod: []}, [network], running)


def test_a_pod_that_was_left_with_an_empty_list_survives_a_new_sandbox(
    cluster: Cluster, pods: NodePods, networks: Networks, agent: AgentFactory
) -> None:
    running = agent()
    network = networks.bridge()
    pod = pods.make(networks=[network.name])
    pod.wait_for_link(ifname(network))
    pod.annotate("[]")
    pod.wait_for_no_link(ifname(network))
    old = pod.sandbox_id
    pods.kill_sandbox(pod)
    pods.wait_new_sandbox(pod, old)
    wait_exactly({pod: []}, [network], running)


def test_a_pod_of_the_hosts_network_is_left_alone(pods: NodePods, networks: Networks, agent: AgentFactory) -> None:
    running = agent()
    network = networks.bridge()
    before = {name for name in links_of() if not name.startswith("veth")}
    pods.make("host-networked", networks=[network.name], host_network=True)
    wait_for_line(running, "host-networked", "host's network")
    assert {name for name in links_of() if not name.startswith("veth")} == before
    assert network.leases() == []
