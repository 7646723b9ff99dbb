"""Sandboxes are replaced, die and go while their pod lives on, or with it."""

from __future__ import annotations

import pytest

from functional.expectations import ifname
from functional.outcomes import PINGED, wait_exactly
from functional.ways import BOTH_WAYS
from lab.agent import AgentFactory
from lab.networks import Networks
from lab.node import Node
from lab.plugins import PluginDir

pytestmark = [pytest.mark.root, BOTH_WAYS]


def test_networks_come_back_in_a_replaced_sandbox_and_the_old_leases_go(
    agent: AgentFactory, node: Node, networks: Networks
) -> None:
    made = [networks.bridge("data"), networks.bridge("red", tuning=True)]
    running = agent()
    pod, neighbour = node.many(2, networks=["data", "red"])
    wait_exactly({pod: made, neighbour: made}, made, running)
    old = pod.sandbox_id
    pod.replace_sandbox()
    wait_exactly({pod: made, neighbour: made}, made, running)
    assert pod.sandbox_id != old


def test_a_sandbox_replaced_again_and_again_ends_with_one_lease(
    agent: AgentFactory, node: Node, networks: Networks
) -> None:
    data = networks.bridge("data")
    running = agent()
    pod = node.pod(networks=["data"])
    for _ in range(4):
        pod.replace_sandbox()
    wait_exactly({pod: [data]}, [data], running)


@pytest.mark.parametrize("down", [False, True], ids=["while the agent runs", "while the agent is down"])
def test_a_pod_unplugged_after_its_sandbox_was_replaced_has_neither_interface_nor_lease(
    agent: AgentFactory, node: Node, networks: Networks, down: bool
) -> None:
    data, red = networks.bridge("data"), networks.bridge("red")
    running = agent()
    pod, neighbour = node.many(2, networks=["data", "red"])
    wait_exactly({pod: [data, red], neighbour: [data, red]}, [data, red], running)
    if down:
        running.stop()
    pod.replace_sandbox()
    pod.annotate(["red"])
    if down:
        running.start()
    wait_exactly({pod: [red], neighbour: [data, red]}, [data, red], running)
    pod.annotate([])
    wait_exactly({pod: [], neighbour: [data, red]}, [data, red], running)


def test_a_sandbox_replaced_while_the_agent_was_down_gets_its_networks(
    agent: AgentFactory, node: Node, networks: Networks
) -> None:
    data = networks.bridge("data")
    running = agent()
    pod = node.pod(networks=["data"])
    wait_exactly({pod: [data]}, [data], running)
    running.kill()
    pod.replace_sandbox()
    running.start()
    wait_exactly({pod: [data]}, [data], running)


def test_a_sandbox_that_ends_during_an_attach_is_not_mistaken_for_the_next_one(
    agent: AgentFactory, node: Node, networks: Networks, plugins: PluginDir
) -> None:
    data = networks.bridge("data")
    running = agent()
    gate = plugins.gate("bridge", "after")
    pod = node.pod(networks=["data"])
    gate.wait_reached()
    pod.replace_sandbox()
    gate.open()
    wait_exactly({pod: [data]}, [data], running)


@pytest.mark.parametrize("grace", [True, False], ids=["gracefully", "by force"])
def test_a_pod_deleted_after_its_sandbox_died_leaves_no_lease(
    agent: AgentFactory, node: Node, networks: Networks, grace: bool
) -> None:
    data = networks.bridge("data")
    running = agent()
    pod, neighbour = node.many(2, networks=["data"])
    wait_exactly({pod: [data], neighbour: [data]}, [data], running)
    pod.kill_sandbox()
    pod.delete(grace=grace)
    wait_exactly({neighbour: [data]}, [data], running)


def test_a_pod_unplugged_after_its_sandbox_died_leaves_no_lease(
    agent: AgentFactory, node: Node, networks: Networks
) -> None:
    data = networks.bridge("data")
    running = agent()
    pod = node.pod(networks=["data"])
    wait_exactly({pod: [data]}, [data], running)
    pod.kill_sandbox()
    pod.annotate([])
    wait_exactly({}, [data], running)


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_pod_that_has_ended_keeps_its_object_but_no_lease(
    agent: AgentFactory, node: Node, networks: Networks, phase: str
) -> None:
    data = networks.bridge("data")
    running = agent()
    pod = node.pod(networks=["data"])
    wait_exactly({pod: [data]}, [data], running)
    pod.finish(phase)
    wait_exactly({}, [data], running)


def test_a_restarted_container_changes_nothing_for_its_sandbox(
    agent: AgentFactory, node: Node, networks: Networks, plugins: PluginDir
) -> None:
    data = networks.bridge("data")
    running = agent(env=PINGED)
    pod = node.pod(networks=["data"])
    before = pod.wait_for_link(ifname(data))
    plugins.record("bridge")
    pod.restart_container()
    wait_exactly({pod: [data]}, [data], running)
    assert pod.links()[ifname(data)] == before
    assert plugins.calls() == []


def test_a_pod_is_detached_only_when_its_object_is_gone(
    agent: AgentFactory, node: Node, networks: Networks, plugins: PluginDir
) -> None:
    data = networks.bridge("data")
    running = agent()
    pod, other = node.many(2, networks=["data"])
    wait_exactly({pod: [data], other: [data]}, [data], running)
    plugins.record("bridge")
    node.api.begin_deletion(pod.namespace, pod.name)
    other.annotate([])
    wait_exactly({pod: [data], other: []}, [data], running)
    assert len(plugins.calls("DEL")) == 1
    pod.delete()
    wait_exactly({other: []}, [data], running)
