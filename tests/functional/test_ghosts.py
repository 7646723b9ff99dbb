"""Attachments whose DEL can never succeed: they end, with a warning, and hold no pod and no name for good."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Callable, Iterator

import pytest

from functional.bed import Bed
from functional.expectations import ifname, records, wait_for_event, wait_for_line
from functional.outcomes import Wanted
from functional.ways import BOTH_WAYS
from lab.links import links_of
from lab.networks import FAULTY, Network
from lab.node import Pod
from lab.waiting import eventually

pytestmark = pytest.mark.root

GIVEN_UP = "DEL keeps failing and is given up"
FIVE_FAILURES_S = 40.0
"""After so many failures, what was attached is given up."""
End = Callable[[Bed, Pod, Network], Wanted]
"""Ends the attachment of a faulty network to a pod that has a good one too. Returns what is wanted then."""


@pytest.fixture
def master() -> Iterator[str]:
    """A link of the host, for macvlan."""
    name = f"pl{uuid.uuid4().hex[:8]}"
    subprocess.run(["ip", "link", "add", name, "type", "veth", "peer", "name", f"{name}p"], check=True)
    yield name
    subprocess.run(["ip", "link", "del", name], check=False, capture_output=True)


def unplug(bed: Bed, pod: Pod, good: Network) -> Wanted:
    pod.annotate([])
    return {pod: []}


def unplug_alone(bed: Bed, pod: Pod, good: Network) -> Wanted:
    pod.annotate([good.name])
    return {pod: [good]}


def unplug_while_the_agent_is_away(bed: Bed, pod: Pod, good: Network) -> Wanted:
    bed.agent.kill()
    pod.annotate([good.name])
    bed.agent.start()
    return {pod: [good]}


def delete(bed: Bed, pod: Pod, good: Network) -> Wanted:
    pod.delete()
    return {}


def undefine(bed: Bed, pod: Pod, good: Network) -> Wanted:
    bed.networks.undefine(bed.networks.made[0])
    return {pod: [good]}


A_FAULT = next(iter(FAULTY))
ENDS = [(fault, unplug) for fault in FAULTY] + [
    (A_FAULT, end) for end in (unplug_alone, unplug_while_the_agent_is_away, delete, undefine)
]


@BOTH_WAYS
@pytest.mark.parametrize(("fault", "end"), ENDS)
@pytest.mark.promise(
    "Plugins: ADD and every DEL of a faulty definition fail",
    "the record ends, with a warning that says what may be left",
)
def test_a_definition_whose_add_and_del_fail_leaves_no_record(bed: Bed, fault: str, end: End) -> None:
    ghost, good = bed.networks.custom(*FAULTY[fault]), bed.networks.bridge()
    pod = bed.node.pod(networks=[ghost.name, good.name])
    wait_for_event(bed.api, pod, "NetworkAttachFailed", ghost.name)
    pod.wait_for_link(ifname(good))
    bed.settles(end(bed, pod, good), 20)


@pytest.mark.parametrize("fault", FAULTY)
def test_the_warning_says_what_may_be_left_and_comes_once_though_add_is_retried(bed: Bed, fault: str) -> None:
    plugin, config = FAULTY[fault]
    ghost = bed.networks.custom(plugin, config)
    bed.plugins.record(plugin)
    bed.node.pod(networks=[ghost.name])
    eventually(lambda: len(bed.plugins.calls("ADD", plugin)) > 2, 20, "two cycles of ADD and DEL")
    (warning,) = (line for line in bed.agent.log().splitlines() if GIVEN_UP in line)
    assert "no interface was ever made" in warning
    left = "an address may stay reserved by the IPAM plugin no-such-ipam"
    assert (left in warning) == (fault == "an unknown IPAM plugin")


@BOTH_WAYS
def test_a_link_whose_master_was_deleted_is_detached_and_its_address_given_back(bed: Bed, master: str) -> None:
    network = bed.networks.custom("macvlan", {"master": master})
    ipam = {"type": "host-local", "ranges": [[{"subnet": f"{network.subnet}.0/24"}]]}
    bed.networks.undefine(network)
    network = bed.networks.custom("macvlan", {"master": master, "ipam": ipam})
    pod = bed.node.pod(networks=[network.name])
    pod.wait_for_link(ifname(network))
    eventually(lambda: [each["phase"] for each in records(bed.agent)] == ["ATTACHED"])
    subprocess.run(["ip", "link", "del", master], check=True)
    pod.wait_for_no_link(ifname(network))
    pod.annotate([])
    eventually(lambda: records(bed.agent) == [], FIVE_FAILURES_S, "the record to end")
    if bed.kactus is None:
        wait_for_line(bed.agent, f"detached {ifname(network)}", GIVEN_UP, "the interface is gone")
    assert network.leases() == []
    bed.settles({pod: []})


@BOTH_WAYS
@pytest.mark.parametrize("end", [unplug, delete])
def test_a_device_that_was_taken_back_by_hand_is_left_alone_and_the_record_ends(
    bed: Bed, device: str, end: End
) -> None:
    network = bed.networks.custom("host-device", {"device": device})
    pod = bed.node.pod(networks=[network.name])
    pod.wait_for(lambda links: ifname(network) in links)
    eventually(lambda: [each["phase"] for each in records(bed.agent)] == ["ATTACHED"])
    enter, name = ["nsenter", f"--net={pod.netns}"], ifname(network)
    subprocess.run([*enter, "ip", "link", "set", name, "down"], check=True)
    subprocess.run([*enter, "ip", "link", "set", name, "netns", "1"], check=True)
    subprocess.run(["ip", "link", "set", name, "name", device], check=True)
    taken_back = links_of()[device]
    bed.settles(end(bed, pod, network), FIVE_FAILURES_S)
    assert links_of()[device] == taken_back
