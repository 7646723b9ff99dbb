"""However a pod ends, its networks are given back where they were made: in its namespace."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from functional.bed import Bed
from functional.expectations import ifname
from functional.ways import BOTH_RUNTIMES, BOTH_WAYS
from lab.links import links_of
from lab.networks import Network
from lab.node import Pod
from lab.pins import pins, remove_pins
from lab.waiting import eventually

pytestmark = [pytest.mark.root, BOTH_RUNTIMES]


def unplug(bed: Bed, pod: Pod) -> None:
    pod.annotate([])


def delete(bed: Bed, pod: Pod) -> None:
    pod.delete()


def delete_by_force(bed: Bed, pod: Pod) -> None:
    pod.delete(grace=False)


def kill_the_sandbox(bed: Bed, pod: Pod) -> None:
    pod.lose_sandbox()


def finish(bed: Bed, pod: Pod) -> None:
    pod.finish()


def delete_while_the_agent_is_away(bed: Bed, pod: Pod) -> None:
    bed.agent.kill()
    pod.delete(grace=False)
    bed.agent.start()


def delete_gracefully_while_the_agent_is_stopped(bed: Bed, pod: Pod) -> None:
    bed.agent.stop()
    pod.delete()
    bed.agent.start()


def kill_the_agent_at_its_work(bed: Bed, pod: Pod) -> None:
    config = bed.networks.made[-1].config
    gate = bed.plugins.gate(config.get("plugins", [config])[-1]["type"], "before", "DEL")
    pod.delete(grace=False)
    gate.wait_reached()
    bed.agent.kill_tree()
    gate.open()
    bed.agent.start()


ENDS = [
    unplug, delete, delete_by_force, kill_the_sandbox, finish, delete_while_the_agent_is_away,
    delete_gracefully_while_the_agent_is_stopped, kill_the_agent_at_its_work,
]  # fmt: skip
PROMPT_SECONDS = 3.0
"""For what follows the end of a sandbox, which the agent must notice by itself."""


def patience(end: Callable[[Bed, Pod], None]) -> float:
    return PROMPT_SECONDS if end in (kill_the_sandbox, finish) else 20.0


@pytest.fixture
def chained(bed: Bed) -> Network:
    """A network whose last plugin needs the namespace for DEL."""
    return bed.networks.bridge("chained", then={"type": "sbr"})


@pytest.mark.promise(
    "Pods: a pod with a device of the host ends in any way, or its sandbox is killed",
    "the device returns to the host under its own name",
)
@BOTH_WAYS
@pytest.mark.parametrize("end", ENDS)
def test_a_device_of_the_host_returns_under_its_own_name(
    bed: Bed, device: str, end: Callable[[Bed, Pod], None]
) -> None:
    network = bed.networks.custom("host-device", {"device": device})
    pod = bed.node.pod(networks=[network.name])
    pod.wait_for(lambda links: ifname(network) in links)
    assert device not in links_of()
    end(bed, pod)
    eventually(lambda: device in links_of(), patience(end), "the device to return")
    bed.settles({pod: []} if end is unplug else {})


@pytest.mark.promise(
    "Pods: a pod ends, or its sandbox is killed, and a plugin needs its network namespace to detach",
    "DEL runs in that namespace; no address leaks",
)
@BOTH_WAYS
@pytest.mark.parametrize("end", ENDS[1:])
def test_a_plugin_that_needs_the_namespace_gives_its_address_back(
    bed: Bed, chained: Network, end: Callable[[Bed, Pod], None]
) -> None:
    pod, neighbour = bed.all_attached(2, chained)
    end(bed, pod)
    eventually(lambda: len(chained.leases()) == 1, patience(end), "the address to be given back")
    bed.settles({neighbour: [chained]})
    assert pins(bed.agent.state_dir) == {neighbour.sandbox_id}


@BOTH_WAYS
def test_a_sandbox_that_replaces_another_gets_its_device_and_gives_it_back(
    bed: Bed, device: str, chained: Network
) -> None:
    card = bed.networks.custom("host-device", {"device": device})
    pod = bed.node.pod(networks=[card.name, chained.name])
    both = {ifname(card), ifname(chained)}
    pod.wait_for(lambda links: links.keys() >= both)
    pod.replace_sandbox()
    pod.wait_for(lambda links: links.keys() >= both)
    eventually(lambda: [lease.container_id for lease in chained.leases()] == [pod.sandbox_id], what="one address")
    eventually(lambda: pins(bed.agent.state_dir) == {pod.sandbox_id}, what="one namespace to be kept")
    pod.annotate([])
    eventually(lambda: device in links_of(), what="the device to return")
    bed.settles({pod: []})


def test_the_namespace_of_a_pod_that_an_earlier_agent_did_not_keep_is_kept_from_the_next_start_on(bed: Bed) -> None:
    pod = bed.attached(bed.networks.bridge())
    bed.agent.kill()
    remove_pins(bed.agent.state_dir)
    bed.agent.start()
    eventually(lambda: pins(bed.agent.state_dir) == {pod.sandbox_id}, what="the namespace to be kept")
