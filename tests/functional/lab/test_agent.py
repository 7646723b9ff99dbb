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
from lab.waiting import eventually

pytestmark = pytest.mark.root

IFNAME = "net8d777f385d3d"


def test_the_agent_says_that_it_is_ready_and_ends_when_told(agent: AgentFactory) -> None:
    running = agent()
    assert running.wait_ready() > 0
    assert running.rss_kib() > 1000
    assert running.cpu_seconds() > 0
    assert running.stop() == 0
    assert running.notifications.all("STOPPING")
    assert not running.running


def test_plugs_a_pod_and_unplugs_it(agent: AgentFactory, node: Node, networks: Networks) -> None:
    data = networks.bridge("data")
    agent()
    pod = node.pod()
    pod.annotate(["data"])
    assert data.holds(pod.wait_for_link(IFNAME).addresses[0])
    pod.annotate([])
    pod.wait_for_no_link(IFNAME)
    eventually(lambda: not data.leases())


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
