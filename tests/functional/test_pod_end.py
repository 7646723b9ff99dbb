"""However a pod ends, its networks are given back where they were made: in its namespace."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from functional.bed import Bed
from functional.expectations import ifname
from functional.ways import BOTH_WAYS
from lab.links import links_of
from lab.networks import Network
from lab.node import Pod
from lab.waiting import eventually
from podagent.host.pins import pin_directory

pytestmark = pytest.mark.root

DEVICE = f"plhd{os.getpid() % 10000}"


def unplug(bed: Bed, pod: Pod) -> None:
    pod.annotate([])


def delete(bed: Bed, pod: Pod) -> None:
    pod.delete()


def delete_by_force(bed: Bed, pod: Pod) -> None:
    pod.delete(grace=False)


def kill_the_sandbox(bed: Bed, pod: Pod) -> None:
    pod.kill_sandbox()


def finish(bed: Bed, pod: Pod) -> None:
    pod.finish()


def delete_while_the_agent_is_away(bed: Bed, pod: Pod) -> None:
    bed.agent.kill()
    pod.delete(grace=False)
    bed.agent.start()


ENDS = [unplug, delete, delete_by_force, kill_the_sandbox, finish, delete_while_the_agent_is_away]


@pytest.fixture
def device() -> Iterator[str]:
    """A link of the host that stands for a network card."""
    subprocess.run(["ip", "link", "add", DEVICE, "type", "veth", "peer", "name", f"{DEVICE}p"], check=True)
    yield DEVICE
    subprocess.run(["ip", "link", "del", DEVICE], check=True)


@pytest.fixture
def chained(bed: Bed) -> Network:
    """A network whose last plugin needs the namespace for DEL."""
    return bed.networks.bridge("chained", then={"type": "sbr"})


def pins(bed: Bed) -> list[str]:
    place = pin_directory(bed.agent.state_dir)
    return [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if f" {place}/" in line]


@BOTH_WAYS
@pytest.mark.parametrize("end", ENDS)
def test_a_device_of_the_host_returns_under_its_own_name(
    bed: Bed, device: str, end: Callable[[Bed, Pod], None]
) -> None:
    network = bed.networks.custom("host-device", {"device": device})
    pod = bed.node.pod(networks=[network.name])
    pod.wait_for(lambda links: ifname(network) in links)
    assert device not in links_of("/proc/self/ns/net")
    end(bed, pod)
    eventually(lambda: device in links_of("/proc/self/ns/net"), 20, "the device to return")
    eventually(lambda: pins(bed) == [], 10, "the namespace to be let go")
    bed.settles({pod: []} if bed.api.exists("pods", pod.namespace, pod.name) and end is unplug else {})


@BOTH_WAYS
@pytest.mark.parametrize("end", ENDS[1:])
def test_a_plugin_that_needs_the_namespace_gives_its_address_back(
    bed: Bed, chained: Network, end: Callable[[Bed, Pod], None]
) -> None:
    pod, neighbour = bed.all_attached(2, chained)
    end(bed, pod)
    eventually(lambda: len(chained.leases()) == 1, 20, "the address to be given back")
    bed.settles({neighbour: [chained]})
    assert len(pins(bed)) == 1
