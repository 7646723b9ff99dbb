"""The harness around the agent's process."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab import processes
from lab.agent import Agent, AgentFactory
from lab.apiserver import ApiServer
from lab.networks import Networks
from lab.node import Node
from lab.plugins import PluginDir

pytestmark = pytest.mark.root

IFNAME = "net8d777f385d3d"


@pytest.mark.parametrize("whole_tree", [False, True])
def test_kills_the_agent_alone_or_with_its_plugins(
    agent: AgentFactory, node: Node, networks: Networks, plugins: PluginDir, whole_tree: bool
) -> None:
    networks.bridge("data")
    gate = plugins.gate("bridge")
    running = agent()
    node.pod(networks=["data"])
    gate.wait_reached()
    held = plugins.processes()
    assert held
    if whole_tree:
        running.kill_tree()
    else:
        running.kill()
    assert any(map(processes.is_alive, held)) is not whole_tree
    gate.open()
    processes.wait_gone(held)
    running.start()


def test_an_agent_whose_start_fails_shows_its_log(api: ApiServer, workdir: Path) -> None:
    broken = Agent(workdir / "agent", kubeconfig="/none", docker_endpoint="unix:///none", cni_bin_path="/none")
    broken.options["no-such-flag"] = 1
    with pytest.raises(RuntimeError, match="no-such-flag"):
        broken.start()
    broken.close()
