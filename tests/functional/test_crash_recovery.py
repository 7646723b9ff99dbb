"""The agent is killed at the worst moments; its next life makes everything as it is wanted."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest

from functional.bed import Bed
from functional.expectations import records
from functional.ways import BOTH_RUNTIMES, BOTH_WAYS
from lab import processes
from lab.agent import Agent
from lab.networks import Network
from lab.node import Pod
from lab.plugins import PluginDir
from lab.waiting import eventually

pytestmark = [pytest.mark.root, BOTH_RUNTIMES]

# How the agent dies, and when plugins that live on come to their end.
WITH_PLUGINS, BEFORE_START, AFTER_START = "with its plugins", "plugins end before", "plugins end after"
# The bridge plugin calls host-local: one step is before anything was done, the other after everything was.
KILLS = [
    ("delegate", "ADD", "host-local", "before", WITH_PLUGINS),
    ("delegate", "ADD", "bridge", "after", AFTER_START),
    ("delegate", "DEL", "host-local", "before", AFTER_START),
    ("delegate", "DEL", "bridge", "after", BEFORE_START),
    ("kactus", "ADD", "host-local", "before", BEFORE_START),
    ("kactus", "ADD", "bridge", "after", WITH_PLUGINS),
    ("kactus", "DEL", "host-local", "before", WITH_PLUGINS),
    ("kactus", "DEL", "bridge", "after", AFTER_START),
]


def die(agent: Agent, death: str, plugins: PluginDir) -> list[int]:
    """Kills the agent; returns the plugins that live on, from those it started to the one that is held up."""
    at_work = set()
    for pid in plugins.processes():
        while pid not in (0, agent.pid):
            at_work.add(pid)
            pid = processes.parent_of(pid)
    assert at_work
    if death == WITH_PLUGINS:
        agent.kill_tree()
        assert not any(map(processes.is_alive, at_work))
        return []
    agent.kill()
    assert all(map(processes.is_alive, at_work))
    return sorted(at_work)


def count_of_lists(agent: Agent) -> int:
    return agent.log().count("pods are listed")


@pytest.mark.promise(
    "Agent: the agent is killed during ADD or DEL, with its plugins or without them",
    "the next start waits for the plugins, rolls back, and does what is wanted by then",
)
@pytest.mark.parametrize(("via", "command", "plugin", "point", "death"), KILLS, indirect=["via"])
def test_converges_after_a_kill_in_the_middle_of_an_operation(
    bed: Bed, command: str, plugin: str, point: str, death: str
) -> None:
    data, killed = bed.networks.bridge("data"), bed.agent
    before, after = ([], ["data"]) if command == "ADD" else (["data"], [])
    steady, fickle = bed.node.many(2, networks=before)
    bed.settles(dict.fromkeys([steady, fickle], [data] if before else []))
    gate = bed.plugins.gate(plugin, point, command)
    for pod in (steady, fickle):
        pod.annotate(after)
    gate.wait_reached(2)

    left = die(killed, death, bed.plugins)
    fickle.annotate(before)
    if death == AFTER_START:
        lists = count_of_lists(killed)
        killed.start()
        eventually(lambda: count_of_lists(killed) > lists, what="the next life to begin its work")
        time.sleep(0.5)  # it must not do anything to these attachments now
        assert gate.arrivals == 2
        assert [record["phase"] for record in records(killed)] == ["ATTACHING" if command == "ADD" else "DETACHING"] * 2
        gate.open()
    else:
        gate.open()
        processes.wait_gone(left)
        killed.start()
    bed.settles({steady: [data] if after else [], fickle: [data] if before else []})


@BOTH_WAYS
def test_a_pod_deleted_while_its_plugin_outlived_the_agent_leaves_no_lease(bed: Bed) -> None:
    data = bed.networks.bridge("data")
    gate = bed.plugins.gate("host-local", "after")
    pod = bed.node.pod(networks=["data"])
    gate.wait_reached()
    left = die(bed.agent, BEFORE_START, bed.plugins)
    pod.delete()
    gate.open()
    processes.wait_gone(left)
    assert data.leases(), "the plugin had its address before the pod went"
    bed.agent.start()
    bed.settles({})


def wait_for_changes(directory: Path, count: int, seconds: float) -> None:
    """Returns right after so many changes of the records, or when time is up."""
    deadline = time.monotonic() + seconds
    seen = None
    while count >= 0 and time.monotonic() < deadline:
        now = sorted((entry.name, entry.inode()) for entry in os.scandir(directory))
        count -= now != seen
        seen = now


@pytest.mark.promise(
    "Agent: the agent is killed again and again while annotations change",
    "in the end every pod has exactly the networks of its annotation",
)
@BOTH_WAYS
def test_converges_after_kills_at_arbitrary_times_in_a_burst_of_changes(bed: Bed) -> None:
    data, red = bed.networks.bridge("data"), bed.networks.bridge("red")
    rng, killed = random.Random(20), bed.agent
    wanted: dict[Pod, list[Network]] = {pod: [] for pod in bed.node.many(3)}

    def change() -> None:
        """Every pod asks for something else than before."""
        for pod, before in wanted.items():
            wanted[pod] = rng.choice([other for other in ([], [data], [data, red], [red]) if other != before])
            pod.annotate([network.name for network in wanted[pod]])

    for turn in range(12):
        change()
        if turn % 2:  # between two steps of the store, else anywhere
            wait_for_changes(killed.state_dir / "attachments", rng.randint(1, 8), 3)
        else:
            time.sleep(rng.uniform(0, 0.4))
        if turn % 4 < 2:
            killed.kill_tree()
        else:
            killed.kill()
        if turn % 3 == 2:
            change()
        killed.start()
    bed.settles(wanted, 60)
