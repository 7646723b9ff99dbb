"""Kaloom's podagent gives way to this one: what it attached, by its own records, is taken over as it is."""

from __future__ import annotations

import json
import shutil

import pytest

from functional.bed import Bed
from functional.outcomes import plugged
from functional.ways import BOTH_WAYS
from lab.agent import Agent
from lab.networks import Network
from lab.node import Pod

pytestmark = [pytest.mark.root, BOTH_WAYS]


def leave(agent: Agent, pod: Pod, *networks: Network, state: str = "Active") -> None:
    """What this agent attached is now what the former one attached."""
    agent.inherit_dir.mkdir(exist_ok=True)
    for network in networks:
        data = {
            "Namespace": pod.namespace, "PodName": pod.name, "SandboxID": pod.sandbox_id,
            "NetnsPath": "/proc/1/ns/net", "NetworkName": network.name, "IfMAC": "",
        }  # fmt: skip
        record = {"Expected": {"Optype": "Add", "Data": data}, "Running": {"State": state, "Data": data}}
        (agent.inherit_dir / f"{pod.name}-{network.name}.json").write_text(json.dumps(record))


@pytest.mark.promise(
    "Reboot and upgrade: Kaloom's podagent left interfaces, some half made",
    "they are taken over; what is not wanted goes, what is half made is made again",
)
def test_attachments_stay_or_go_as_wanted_and_half_done_ones_are_made_again(bed: Bed) -> None:
    data, red = made = [bed.networks.bridge("data"), bed.networks.bridge("red")]
    former = bed.agent
    keeps, loses, half_done = bed.node.pod(networks=["data", "red"]), *bed.node.many(2, networks=["data"])
    bed.settles({keeps: made, loses: [data], half_done: [data]})
    former.stop()
    before = plugged(keeps)
    leave(former, keeps, data, red)
    leave(former, loses, data)
    leave(former, half_done, data, state="Dirty")
    shutil.rmtree(former.state_dir)
    loses.annotate(None)

    former.start()
    former.wait_for_log("detached net")
    bed.settles({keeps: made, loses: [], half_done: [data]})
    assert plugged(keeps) == before
    assert former.log().count("took over net") == 4
    assert list(former.inherit_dir.iterdir()) == []
