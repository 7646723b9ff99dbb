"""Kaloom's podagent gives way to this one: what it attached, by its own records, is taken over as it is."""

from __future__ import annotations

import json
import shutil

import pytest

from functional.outcomes import wait_exactly
from functional.ways import BOTH_WAYS
from lab.agent import Agent, AgentFactory
from lab.networks import Network, Networks
from lab.node import Node, Pod

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


def ifindexes(pod: Pod) -> dict[str, int]:
    return {name: link.ifindex for name, link in pod.links().items()}


def test_attaches_nothing_twice_and_forgets_nothing_of_what_the_former_agent_attached(
    agent: AgentFactory, node: Node, networks: Networks
) -> None:
    data, red = networks.bridge("data"), networks.bridge("red")
    former = agent()
    keeps, loses = node.pod(networks=["data", "red"]), node.pod(networks=["data"])
    wait_exactly({keeps: [data, red], loses: [data]}, [data, red], former)
    former.stop()
    before = ifindexes(keeps)
    leave(former, keeps, data, red)
    leave(former, loses, data)
    shutil.rmtree(former.state_dir)
    loses.annotate(None)
    former.start()
    wait_exactly({keeps: [data, red], loses: []}, [data, red], former)
    assert ifindexes(keeps) == before
    assert former.log().count("took over net") == 3
    assert list(former.inherit_dir.iterdir()) == []


def test_makes_anew_what_the_former_agent_had_half_done(agent: AgentFactory, node: Node, networks: Networks) -> None:
    data = networks.bridge("data")
    former = agent()
    pod = node.pod(networks=["data"])
    wait_exactly({pod: [data]}, [data], former)
    former.stop()
    leave(former, pod, data, state="Dirty")
    shutil.rmtree(former.state_dir)
    former.start()
    former.wait_for_log("detached net")
    wait_exactly({pod: [data]}, [data], former)
