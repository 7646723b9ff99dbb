"""Attachments whose DEL can never succeed: they end, with a warning, and hold no pod and no name for good."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from functional.bed import Bed
from functional.expectations import ifname, records, wait_for_event, wait_for_line
from functional.ways import BOTH_WAYS
from lab.node import Pod
from lab.waiting import eventually

pytestmark = pytest.mark.root

Json = dict[str, Any]


@pytest.fixture
def master() -> Iterator[str]:
    """A link of the host that macvlan builds upon."""
    name = f"pl{uuid.uuid4().hex[:8]}"
    subprocess.run(["ip", "link", "add", name, "type", "veth", "peer", "name", f"{name}p"], check=True)
    yield name
    subprocess.run(["ip", "link", "del", name], check=False, capture_output=True)


def unplug(pod: Pod) -> None:
    pod.annotate([])


def delete(pod: Pod) -> None:
    pod.delete()


@BOTH_WAYS
@pytest.mark.parametrize("fault", GHOSTS)
@pytest.mark.parametrize("end", [unplug, delete])
@pytest.mark.promise(
    "Plugins: ADD and every DEL of a faulty definition fail",
    "the record ends, with a warning that says what may be left",
)
def test_a_definition_whose_add_and_del_fail_leaves_no_record(bed: Bed, fault: str, end: Callable[[Pod], None]) -> None:
    plugin, config = GHOSTS[fault]
    ghost, good = bed.networks.custom(plugin, {"bridge": "plghost0"} | config), bed.networks.bridge()
    pod = bed.node.pod(networks=[ghost.name, good.name])
    wait_for_event(bed.api, pod, "NetworkAttachFailed", ghost.name)
    pod.wait_for_link(ifname(good))
    end(pod)
    bed.settles({pod: []} if end is unplug else {}, 20)


@pytest.mark.parametrize("via", ["delegate"], indirect=True)
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
    eventually(lambda: records(bed.agent) == [], 20, "the record to end")
    wait_for_line(
        bed.agent, f"detached {ifname(network)}", "DEL keeps failing and is given up", "the interface is gone"
    )
    assert network.leases() == []
    bed.settles({pod: []})
