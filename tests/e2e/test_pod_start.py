"""Pods that have networks, or an annotation, from the start."""

from __future__ import annotations

import pytest

from e2e.cluster.cluster import Cluster
from e2e.nodepods import NodePods
from functional.expectations import ifname, records, wait_for_line
from functional.outcomes import PINGED, restart, settles
from lab.agent import AgentFactory
from lab.links import links_of
from lab.networks import Network, Networks
from lab.waiting import eventually


def test_the_agent_takes_over_what_is_there_already_without_touching_it(
    cluster: Cluster, pods: NodePods, networks: Networks, agent: AgentFactory
) -> None:
    running = agent(start=False, env=PINGED)
    made = [networks.bridge(), networks.bridge(tuning=True)]
    pod = pods.make(networks=[network.name for network in made])
    if cluster.system_plugin == "bridge":
        assert set(pod.links()) == pod.own
        running.start()
    before = {network.name: pod.wait_for_link(ifname(network)) for network in made}
    if not running.running:
        running.start()
    settles({pod: made}, made, running)
    running.stop()
    restart(running)
    settles({pod: made}, made, running)
    assert {network.name: pod.links()[ifname(network)] for network in made} == before
    assert {record["adopted"] for record in records(running)} == {cluster.system_plugin == "kactus"}


def test_an_init_container_can_wait_for_networks_and_a_pod_that_has_done_its_work_gives_them_back(
    pods: NodePods, agent: AgentFactory, two: list[Network]
) -> None:
    running = agent()
    shown = [f"ip link show {ifname(network)}" for network in two]
    pod = pods.make(
        networks=[network.name for network in two], restart="Never", wait=False,
        init=f"until {shown[0]} && {shown[1]}; do sleep 0.1; done", command="sleep 1",
    )  # fmt: skip
    eventually(lambda: (pod.object() or {})["status"]["phase"] == "Succeeded", 60, f"{pod} to have done its work")
    eventually(lambda: not [lease for network in two for lease in network.leases()], 30, "the leases to be released")
    eventually(lambda: not records(running), 30, "the records to be forgotten")
    assert pod.object()


def test_an_empty_list_means_no_networks_at_the_start_and_later(
    pods: NodePods, agent: AgentFactory, networks: Networks
) -> None:
    running = agent()
    network = networks.bridge()
    some = [pods.make(annotations={"networks": text}, wait=False) for text in ("[]", "")]
    for pod in some:
        pod.wait_running().annotate([network.name])
    settles({pod: [network] for pod in some}, [network], running)
    for pod in some:
        pod.annotate("[]")
    settles({pod: [] for pod in some}, [network], running)
    some[0].wait_new_sandbox(some[0].kill_sandbox())
    settles({pod: [] for pod in some}, [network], running)


@pytest.mark.once
def test_a_pod_of_the_hosts_network_is_left_alone(pods: NodePods, networks: Networks, agent: AgentFactory) -> None:
    running = agent()
    network = networks.bridge()
    before = {name for name in links_of() if not name.startswith("veth")}
    pods.make("host-networked", networks=[network.name], host_network=True)
    wait_for_line(running, "host-networked", "host's network")
    assert {name for name in links_of() if not name.startswith("veth")} == before
    assert network.leases() == []
