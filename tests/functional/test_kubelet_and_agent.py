"""The kubelet and the agent have the same kactus work on the same pods: at their start, at their end, and at once."""

from __future__ import annotations

import json
import time

import pytest

from functional.expectations import ifname, ifnames, records, wait_for_attached, wait_for_event, wait_for_line
from functional.outcomes import wait_exactly
from functional.ways import ONLY_KACTUS, NodeKactus
from lab.agent import AgentFactory
from lab.apiserver import ApiServer
from lab.networks import Network, Networks
from lab.node import Node, Pod
from lab.plugins import PluginDir
from lab.waiting import eventually

pytestmark = [pytest.mark.root, ONLY_KACTUS]


def start(pod: Pod, kactus: NodeKactus) -> None:
    """As the kubelet does it: containers only when the sandbox has its networks."""
    pod.start_sandbox()
    kactus.set_up(pod)
    pod.start_containers()
    pod.report_running()


def started(node: Node, kactus: NodeKactus, *networks: Network) -> Pod:
    pod = node.pod(networks=[network.name for network in networks], start=False)
    start(pod, kactus)
    return pod


def wait_for_networks(pod: Pod, *networks: Network) -> None:
    """Waits until the pod has eth0 and these, and no others."""
    pod.wait_for(lambda links: set(links) == {"eth0"} | ifnames(*networks))


def test_adopts_what_the_kubelet_had_made_at_pod_start_and_detaches_it_like_any_other(
    agent: AgentFactory, kactus: NodeKactus, node: Node, networks: Networks, plugins: PluginDir
) -> None:
    data, red, late = (networks.bridge() for _ in range(3))
    running = agent()
    plugins.record("bridge")
    pod = started(node, kactus, data, red)
    made = pod.links()
    for network in (data, red):
        wait_for_line(running, "adopted", ifname(network), pod.name)
    assert [call.env["CNI_IFNAME"] for call in plugins.calls()] == ["eth0", ifname(data), ifname(red)]
    assert pod.links() == made

    pod.annotate([data.name, late.name])
    wait_for_networks(pod, data, late)
    wait_for_attached(running, data, late)
    assert not red.leases()
    assert kactus.attachments() == {(pod.sandbox_id, name) for name in ("", data.name, late.name)}

    # The kubelet's call takes everything, what the agent attached included; for the agent that is no trouble.
    node.api.begin_deletion(pod.namespace, pod.name)
    kactus.tear_down(pod)
    assert set(pod.links()) == {"lo"}
    pod.delete()
    wait_exactly({}, networks.made, running)


@pytest.mark.parametrize("first", ["agent", "kubelet"])
def test_the_kubelets_teardown_and_the_agents_detach_at_once_leave_nothing(
    agent: AgentFactory, kactus: NodeKactus, node: Node, networks: Networks, plugins: PluginDir, first: str
) -> None:
    data, red = networks.bridge(), networks.bridge(tuning=True)
    running = agent()
    pod = started(node, kactus, data, red)
    wait_for_attached(running, data, red)
    gate = plugins.gate("bridge", "before", "DEL")
    if first == "agent":
        pod.annotate([])
        gate.wait_reached()
        tearing_down = kactus.begin("DEL", pod)
    else:
        tearing_down = kactus.begin("DEL", pod)
        gate.wait_reached()
        pod.annotate([])
        eventually(lambda: "DETACHING" in {record["phase"] for record in records(running)})
    # The second one waits for the first: never two plugins at work for one container.
    time.sleep(0.5)
    assert gate.arrivals == 1
    assert tearing_down.running
    gate.open()
    answer = tearing_down.answer()
    assert answer.ok, answer
    wait_exactly({pod: []}, networks.made, running)


def test_a_sandbox_that_the_kubelet_replaces_is_set_up_by_it_and_adopted(
    agent: AgentFactory, kactus: NodeKactus, node: Node, networks: Networks, plugins: PluginDir
) -> None:
    data, red = networks.bridge(), networks.bridge()
    running = agent()
    pod = started(node, kactus, data)
    wait_for_attached(running, data)
    pod.annotate([data.name, red.name])
    wait_for_networks(pod, data, red)

    plugins.record("bridge")
    old = [*pod.container_ids.values(), pod.sandbox_id]
    pod.kill_sandbox()
    kactus.tear_down(pod, pod.sandbox_id)
    pod.attempt += 1
    start(pod, kactus)
    for identifier in old:
        node.runtime.remove(identifier)
    wait_for_networks(pod, data, red)
    eventually(lambda: {record["sandboxID"] for record in records(running)} == {pod.sandbox_id})
    wait_for_attached(running, data, red)
    # Only the kubelet has had anything attached to the new one: what the annotation says at its start.
    added = [call.env["CNI_IFNAME"] for call in plugins.calls("ADD")]
    assert added == ["eth0", ifname(data), ifname(red)]
    assert {lease.container_id for network in (data, red) for lease in network.leases()} == {pod.sandbox_id}

    pod.annotate([red.name])
    wait_for_networks(pod, red)
    pod.annotate([])
    kactus.tear_down(pod)
    wait_exactly({pod: []}, networks.made, running)


def misspell_ipam(api: ApiServer, network: Network) -> None:
    typo = network.config | {"ipam": network.config["ipam"] | {"type": "host-lokal"}}
    api.patch("networks", network.namespace, network.name, {"spec": {"config": json.dumps(typo)}})


def mend(api: ApiServer, network: Network) -> None:
    api.patch("networks", network.namespace, network.name, {"spec": {"config": json.dumps(network.config)}})


def test_what_a_failed_pod_start_could_not_take_back_goes_once_the_definition_is_mended(
    kactus: NodeKactus, api: ApiServer, node: Node, networks: Networks, via: str
) -> None:
    good, faulty = networks.bridge(), networks.bridge()
    misspell_ipam(api, faulty)
    pod = node.pod(networks=[good.name, faulty.name], start=False)
    pod.start_sandbox()
    answer = kactus.begin("ADD", pod).answer()
    assert not answer.ok
    assert "host-lokal" in answer.message
    assert not good.leases(), "what could be taken back was"
    assert kactus.attachments() == {(pod.sandbox_id, faulty.name)}
    assert not kactus.begin("DEL", pod).answer().ok

    mend(api, faulty)
    kactus.tear_down(pod)
    assert kactus.attachments() == set()
    assert set(pod.links()) == {"lo"}


def test_a_fault_of_kactus_reads_like_one_of_the_agent(
    agent: AgentFactory, api: ApiServer, node: Node, networks: Networks, plugins: PluginDir, via: str
) -> None:
    network = networks.bridge(tuning=True)
    plugins.fail("tuning", "ADD", code=101, msg="no such device", details="eth7")
    running = agent()
    pod = node.pod(networks=[network.name])
    words = "CNI plugin kactus: tuning: no such device (eth7) [code 101]"
    wait_for_event(api, pod, "NetworkAttachFailed", network.name, words)
    eventually(lambda: not records(running))
