"""The harness around the agent's process."""

from __future__ import annotations

from pathlib import Path

import pytest

from functional.bed import Bed
from lab import processes
from lab.agent import Agent

pytestmark = pytest.mark.root


def test_the_agent_is_ready_and_ends_when_told(bed: Bed) -> None:
    running = bed.agent
    assert running.wait_ready() > 0
    assert running.rss_kib() > 1000
    assert running.cpu_seconds() > 0
    assert running.stop() == 0
    assert running.notifications.all("STOPPING")
    assert not running.running


@pytest.mark.parametrize("whole_tree", [False, True])
def test_kills_the_agent_alone_or_with_its_plugins(bed: Bed, whole_tree: bool) -> None:
    bed.networks.bridge("data")
    gate = bed.plugins.gate("bridge")
    bed.node.pod(networks=["data"])
    gate.wait_reached()
    held = bed.plugins.processes()
    assert held
    if whole_tree:
        bed.agent.kill_tree()
    else:
        bed.agent.kill()
    assert any(map(processes.is_alive, held)) is not whole_tree
    gate.open()
    processes.wait_gone(held)


def test_an_agent_whose_start_fails_shows_its_log(workdir: Path) -> None:
    broken = Agent(workdir / "agent", kubeconfig="/none", docker_endpoint="unix:///none", cni_bin_path="/none")
    broken.options["no-such-flag"] = 1
    with pytest.raises(RuntimeError, match="no-such-flag"):
        broken.start()
    broken.close()
