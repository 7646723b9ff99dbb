"""dockerd is restarted, or away for a while, under the agent."""

from __future__ import annotations

import pytest

from functional.expectations import ifname
from functional.outcomes import plugged, wait_exactly
from lab.agent import AgentFactory
from lab.networks import Networks
from lab.node import Node
from lab.plugins import PluginDir

pytestmark = pytest.mark.root


def test_pods_that_live_through_a_restart_of_docker_keep_their_interfaces(
    agent: AgentFactory, node: Node, networks: Networks, plugins: PluginDir
) -> None:
    data, red = networks.bridge("data"), networks.bridge("red")
    running = agent()
    changed, steady = node.many(2, networks=["data"])
    wait_exactly({changed: [data], steady: [data]}, [data, red], running)
    before = plugged(steady)
    plugins.record("bridge")
    node.runtime.restart(keep_containers=True)
    changed.annotate(["red"])
    wait_exactly({changed: [red], steady: [data]}, [data, red], running)
    with node.runtime.away(keep_containers=True):
        running.wait_for_log("does not answer, trying again")
    running.wait_for_log("answers again")
    changed.annotate(["data"])
    wait_exactly({changed: [data], steady: [data]}, [data, red], running)
    assert plugged(steady) == before
    assert {call.env["CNI_CONTAINERID"] for call in plugins.calls()} == {changed.sandbox_id}
    assert [call.command for call in plugins.calls()] == ["DEL", "ADD"] * 2


def test_sandboxes_that_died_with_docker_are_plugged_again_when_they_are_replaced(
    agent: AgentFactory, node: Node, networks: Networks
) -> None:
    data = networks.bridge("data")
    running = agent()
    replaced, deleted, unplugged = node.many(3, networks=["data"])
    wait_exactly({replaced: [data], deleted: [data], unplugged: [data]}, [data], running)
    node.runtime.restart()
    unplugged.annotate([])
    deleted.delete()
    replaced.replace_sandbox()
    wait_exactly({replaced: [data]}, [data], running)
    unplugged.replace_sandbox()
    unplugged.annotate(["data"])
    wait_exactly({replaced: [data], unplugged: [data]}, [data], running)


def test_an_annotation_changed_while_docker_was_away_is_followed_when_it_is_back(
    agent: AgentFactory, node: Node, networks: Networks
) -> None:
    data, red = networks.bridge("data"), networks.bridge("red")
    running = agent()
    comes, goes, changes = node.many(3)
    for pod in (goes, changes):
        pod.annotate(["data"])
    wait_exactly({comes: [], goes: [data], changes: [data]}, [data, red], running)
    with node.runtime.away(keep_containers=True):
        running.wait_for_log("does not answer, trying again")
        comes.annotate(["data"])
        goes.annotate([])
        changes.annotate(["red"])
        # What is recorded can be detached without Docker.
        goes.wait_for_no_link(ifname(data))
        running.wait_for_log(f"pod {comes.namespace}/{comes.name}")
    wait_exactly({comes: [data], goes: [], changes: [red]}, [data, red], running)


def test_starts_and_works_once_docker_is_there(agent: AgentFactory, node: Node, networks: Networks) -> None:
    data = networks.bridge("data")
    prepared = agent(start=False)
    pod = node.pod(networks=["data"])
    with node.runtime.away(keep_containers=True):
        prepared.start()
        prepared.wait_for_log("does not answer")
    wait_exactly({pod: [data]}, [data], prepared)
