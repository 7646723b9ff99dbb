"""The kubelet and the agent have the same kactus work on the same pods: at their start, at their end, and at once."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from functional.bed import Bed
from functional.expectations import ifname, order, records, wait_for_attached, wait_for_line
from functional.ways import ONLY_DOCKER, ONLY_KACTUS, NodeKactus
from lab.networks import Network
from lab.node import Pod
from lab.waiting import eventually

pytestmark = [pytest.mark.root, ONLY_KACTUS, ONLY_DOCKER]


@pytest.fixture
def kactus(bed: Bed) -> NodeKactus:
    assert bed.kactus
    return bed.kactus


def start(pod: Pod, kactus: NodeKactus) -> None:
    """As the kubelet does it: containers only when the sandbox has its networks."""
    pod.start_sandbox()
    kactus.set_up(pod)
    pod.start_containers()
    pod.report_running()


def started(bed: Bed, kactus: NodeKactus, *networks: Network) -> Pod:
    pod = bed.node.pod(networks=[network.name for network in networks], start=False)
    start(pod, kactus)
    return pod


def wait_for_networks_of_pod(pod: Pod, *networks: Network) -> None:
    pod.wait_for(lambda links: set(links) == {"lo", "eth0", *map(ifname, networks)})


def wait_for_networks(bed: Bed, pod: Pod, *networks: Network) -> None:
    """Waits until the pod has eth0 and these, and no others."""
    wait_for_networks_of_pod(pod, *networks)
    wait_for_attached(bed.agent, *networks)


def test_adopts_what_the_kubelet_had_made_at_pod_start_and_detaches_it_like_any_other(
    bed: Bed, kactus: NodeKactus
) -> None:
    data, red, late = (bed.networks.bridge() for _ in range(3))
    bed.plugins.record("bridge")
    pod = started(bed, kactus, data, red)
    made = pod.links()
    for network in (data, red):
        wait_for_line(bed.agent, "adopted", ifname(network), pod.name)
    assert order(bed.plugins.calls()) == ["eth0", ifname(data), ifname(red)]
    assert pod.links() == made

    pod.annotate([data.name, late.name])
    wait_for_networks(bed, pod, data, late)
    assert not red.leases()
    assert kactus.attachments() == {(pod.sandbox_id, name) for name in ("", data.name, late.name)}

    # The kubelet's call takes everything, what the agent attached included; for the agent that is no trouble.
    bed.api.begin_deletion(pod.namespace, pod.name)
    kactus.tear_down(pod)
    assert set(pod.links()) == {"lo"}
    pod.delete()
    bed.settles({})


@pytest.mark.promise(
    "kactus: a sandbox dies, and a plugin needs its namespace to detach",
    "the kubelet's DEL finds the namespace that the agent keeps; no address leaks",
)
def test_the_kubelets_teardown_of_a_dead_sandbox_is_in_the_namespace_that_the_agent_keeps(
    bed: Bed, kactus: NodeKactus
) -> None:
    chained = bed.networks.bridge(then={"type": "sbr"})
    pod = started(bed, kactus, chained)
    wait_for_attached(bed.agent, chained)
    bed.agent.kill()
    pod.kill_sandbox()
    kactus.tear_down(pod, pod.sandbox_id)
    assert (chained.leases(), kactus.attachments()) == ([], set())
    bed.agent.start()
    bed.settles({})


@pytest.mark.promise(
    "kactus: the kubelet and the agent detach from one pod at once",
    "one waits for the other, and nothing leaks",
)
@pytest.mark.parametrize("first", ["agent", "kubelet"])
def test_the_kubelets_teardown_and_the_agents_detach_at_once_leave_nothing(
    bed: Bed, kactus: NodeKactus, first: str
) -> None:
    data, red = bed.networks.bridge(), bed.networks.bridge(tuning=True)
    pod = started(bed, kactus, data, red)
    wait_for_attached(bed.agent, data, red)
    gate = bed.plugins.gate("bridge", "before", "DEL")
    if first == "agent":
        pod.annotate([])
        gate.wait_reached()
        tearing_down = kactus.begin("DEL", pod)
    else:
        tearing_down = kactus.begin("DEL", pod)
        gate.wait_reached()
        pod.annotate([])
        eventually(lambda: "DETACHING" in {record["phase"] for record in records(bed.agent)})
    # The second one waits for the first: never two plugins at work for one container.
    time.sleep(0.5)
    assert gate.arrivals == 1
    assert tearing_down.running
    gate.open()
    answer = tearing_down.answer()
    assert answer.ok, answer
    bed.settles({pod: []})


@pytest.mark.promise(
    "kactus: attach-via is delegate, though kactus is the node's plugin",
    "the agent waits for the kubelet's ADD, and each interface is made once; what kactus attached, kactus detaches",
)
def test_in_delegate_mode_too_the_agent_waits_for_what_kactus_attaches_at_pod_start(
    own_bed: Callable[..., Bed],
) -> None:
    bed = own_bed(attach_via="delegate")
    kactus, data, late = bed.kactus, bed.networks.bridge(), bed.networks.bridge()
    assert kactus
    bed.plugins.record("bridge")
    pod = bed.node.pod(networks=[data.name], start=False)
    pod.start_sandbox()
    # It has looked, before the kubelet's call: it waits, or it has been too early.
    eventually(lambda: len(pod.links()) > 1 or f"pod {pod.namespace}/{pod.name} is still being" in bed.agent.log())
    kactus.set_up(pod)
    pod.start_containers()
    pod.annotate([data.name, late.name])  # its containers are being set up
    wait_for_networks_of_pod(pod, data, late)
    pod.report_running()
    wait_for_line(bed.agent, "adopted", ifname(data), pod.name)
    assert order(bed.plugins.calls("ADD")) == ["eth0", ifname(data), ifname(late)]
    assert kactus.attachments() == {(pod.sandbox_id, name) for name in ("", data.name)}

    pod.annotate([late.name])
    wait_for_networks(bed, pod, late)
    assert kactus.attachments() == {(pod.sandbox_id, "")}
    pod.annotate([])
    wait_for_networks(bed, pod)
    kactus.tear_down(pod)
    bed.settles({pod: []})
    wait_for_line(bed.agent, "to each pod only when the node's system plugin", "05-kactus.conf")


def test_a_sandbox_that_the_kubelet_replaces_is_set_up_by_it_and_adopted(bed: Bed, kactus: NodeKactus) -> None:
    data, red = bed.networks.bridge(), bed.networks.bridge()
    pod = started(bed, kactus, data)
    wait_for_attached(bed.agent, data)
    pod.annotate([data.name, red.name])
    wait_for_networks(bed, pod, data, red)

    bed.plugins.record("bridge")
    old = [*pod.container_ids.values(), pod.sandbox_id]
    pod.kill_sandbox()
    kactus.tear_down(pod, pod.sandbox_id)
    pod.attempt += 1
    start(pod, kactus)
    for identifier in old:
        bed.node.runtime.remove(identifier)
    eventually(lambda: {record["sandboxID"] for record in records(bed.agent)} == {pod.sandbox_id})
    wait_for_networks(bed, pod, data, red)
    # Only the kubelet has had networks attached to the new one: those of the annotation at its start.
    assert order(bed.plugins.calls("ADD")) == ["eth0", ifname(data), ifname(red)]
    assert {lease.container_id for network in (data, red) for lease in network.leases()} == {pod.sandbox_id}

    pod.annotate([red.name])
    wait_for_networks(bed, pod, red)
    pod.annotate([])
    kactus.tear_down(pod)
    bed.settles({pod: []})


def define(bed: Bed, network: Network, ipam: dict[str, Any]) -> None:
    config = network.config | {"ipam": network.config["ipam"] | ipam}
    bed.api.patch("networks", network.namespace, network.name, {"spec": {"config": json.dumps(config)}})


def test_the_rest_of_a_failed_pod_start_goes_once_the_definition_is_correct(bed: Bed, kactus: NodeKactus) -> None:
    bed.agent.stop()
    good, faulty = bed.networks.bridge(), bed.networks.bridge()
    define(bed, faulty, {"type": "host-lokal"})
    pod = bed.node.pod(networks=[good.name, faulty.name], start=False)
    pod.start_sandbox()
    answer = kactus.begin("ADD", pod).answer()
    assert not answer.ok
    assert "host-lokal" in answer.message
    assert not good.leases(), "what could be taken back was"
    assert kactus.attachments() == {(pod.sandbox_id, faulty.name)}
    assert not kactus.begin("DEL", pod).answer().ok

    define(bed, faulty, {"type": "host-local"})
    kactus.tear_down(pod)
    assert kactus.attachments() == set()
    assert set(pod.links()) == {"lo"}


@pytest.mark.promise(
    "kactus: the node's configuration has no cniVersion, and a network no addresses",
    "the network is attached once, and stays",
)
def test_a_network_without_addresses_stays_where_the_node_has_no_cni_version(bed: Bed, kactus: NodeKactus) -> None:
    master = {"type": "bridge", "ipam": {"type": "host-local", "subnet": "10.244.0.0/24"}, "masterPlugin": True}
    conf = kactus.calls.conf(delegates=[master])
    del conf["cniVersion"]
    (kactus.conf_dir / "05-kactus.conf").write_text(json.dumps(conf))
    bare = bed.networks.custom("bridge", {"cniVersion": "0.3.1", "ipam": {}})
    bed.plugins.record("bridge")
    pod = bed.node.pod(networks=[bare.name])
    wait_for_attached(bed.agent, bare)
    made, looks = pod.links()[ifname(bare)], bed.agent.log().count("1 interfaces recorded")
    bed.agent.reload()  # which verifies, as a resync does
    eventually(lambda: bed.agent.log().count("1 interfaces recorded") > looks, what="a look at the pod")
    assert pod.links()[ifname(bare)] == made
    assert len(bed.plugins.calls("ADD")) == 1
    pod.annotate([])
    bed.settles({pod: []})
