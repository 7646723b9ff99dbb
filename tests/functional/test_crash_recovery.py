"""The agent is killed at the worst moments; its next life makes everything as it is wanted."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest

from functional.expectations import records
from functional.outcomes import record_files, wait_exactly
from functional.ways import BOTH_WAYS, WAYS
from lab import processes
from lab.agent import Agent, AgentFactory
from lab.networks import Network, Networks
from lab.node import Node, Pod
from lab.plugins import PluginDir
from lab.waiting import eventually

pytestmark = pytest.mark.root

# In the order of an ADD. The bridge plugin calls host-local, in a DEL as well.
STEPS = [("bridge", "before"), ("host-local", "before"), ("host-local", "after"), ("bridge", "after")]
DEATHS = ["with its plugins", "and its plugins end before the next start", "and its plugins end after the next start"]
OPERATIONS = [(command, *step, death) for command in ("ADD", "DEL") for step in STEPS for death in DEATHS]
MOMENTS = [
    (via, *operation)
    for via in WAYS
    for operation in OPERATIONS
    # Through kactus one of the deaths in which plugins live on is like another: at one step each is enough.
    if via == "delegate" or operation[3] == DEATHS[0] or operation[1:3] == ("host-local", "after")
]


def count_of_lists(agent: Agent) -> int:
    return agent.log().count("pods on node")


def die(agent: Agent, death: str, plugins: PluginDir) -> list[int]:
    """Kills the agent; returns the plugins that live on, from those it started to the one that is held up."""
    at_work = set()
    for pid in plugins.processes():
        while pid not in (0, agent.pid):
            at_work.add(pid)
            pid = processes.parent_of(pid)
    assert at_work
    if death == DEATHS[0]:
        agent.kill_tree()
        return []
    agent.kill()
    assert all(map(processes.is_alive, at_work))
    return sorted(at_work)


@pytest.mark.parametrize(("via", "command", "plugin", "point", "death"), MOMENTS, indirect=["via"])
def test_converges_after_a_kill_in_the_middle_of_an_operation(
    agent: AgentFactory,
    node: Node,
    networks: Networks,
    plugins: PluginDir,
    command: str,
    plugin: str,
    point: str,
    death: str,
) -> None:
    data = networks.bridge("data")
    killed = agent()
    steady, fickle = node.many(2, networks=[] if command == "ADD" else ["data"])
    if command == "DEL":
        wait_exactly({steady: [data], fickle: [data]}, [data], killed)
    gate = plugins.gate(plugin, point, command)
    for pod in (steady, fickle):
        pod.annotate(["data"] if command == "ADD" else [])
    gate.wait_reached(2)

    left = die(killed, death, plugins)
    fickle.annotate([] if command == "ADD" else ["data"])
    lists = count_of_lists(killed)
    if death == DEATHS[2]:
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

    wanted = {steady: [data], fickle: []} if command == "ADD" else {steady: [], fickle: [data]}
    wait_exactly(wanted, [data], killed)


@BOTH_WAYS
def test_ends_a_plugin_of_its_former_life_that_hangs(
    agent: AgentFactory, node: Node, networks: Networks, plugins: PluginDir
) -> None:
    data = networks.bridge("data")
    killed = agent(options={"plugin-timeout": "1s"})
    plugins.hang("bridge", "ADD")
    pod = node.pod(networks=["data"])
    hanging = eventually(plugins.processes, what="the plugin to run")
    killed.kill()
    plugins.restore("bridge")
    killed.start()
    wait_exactly({pod: [data]}, [data], killed)
    assert not any(map(processes.is_alive, hanging))


@BOTH_WAYS
def test_a_pod_deleted_while_its_plugin_outlived_the_agent_leaves_no_lease(
    agent: AgentFactory, node: Node, networks: Networks, plugins: PluginDir
) -> None:
    data = networks.bridge("data")
    killed = agent()
    gate = plugins.gate("host-local", "after")
    pod = node.pod(networks=["data"])
    gate.wait_reached()
    left = die(killed, DEATHS[1], plugins)
    pod.delete()
    gate.open()
    processes.wait_gone(left)
    assert data.leases(), "the plugin had its address before the pod went"
    killed.start()
    wait_exactly({}, [data], killed)


class Burst:
    """Changes the annotations of some pods at random, and knows what they ask for in the end."""

    def __init__(self, pods: list[Pod], networks: list[Network], rng: random.Random) -> None:
        self._networks = networks
        self._rng = rng
        self.wanted: dict[Pod, list[Network]] = {pod: [] for pod in pods}

    def change(self) -> None:
        """Every pod asks for something else than before."""
        for pod, before in self.wanted.items():
            choices = [self._networks[:n] for n in range(len(self._networks) + 1)] + [self._networks[1:]]
            self.wanted[pod] = self._rng.choice([choice for choice in choices if choice != before])
            pod.annotate([network.name for network in self.wanted[pod]])


def wait_for_changes(directory: Path, count: int, seconds: float) -> None:
    """Returns right after so many changes of the records, or when time is up."""
    deadline = time.monotonic() + seconds
    seen = _glance(directory)
    while count > 0 and time.monotonic() < deadline:
        now = _glance(directory)
        count -= now != seen
        seen = now


def _glance(directory: Path) -> list[tuple[str, int]]:
    return sorted((entry.name, entry.inode()) for entry in os.scandir(directory))


@BOTH_WAYS
@pytest.mark.parametrize("whole_tree", [False, True], ids=["alone", "with its plugins"])
def test_converges_after_kills_at_arbitrary_times_in_a_burst_of_changes(
    agent: AgentFactory, node: Node, networks: Networks, whole_tree: bool
) -> None:
    rng = random.Random(20 + whole_tree)
    made = [networks.bridge("data"), networks.bridge("red")]
    burst = Burst(node.many(3), made, rng)
    killed = agent()
    attachments = killed.state_dir / "attachments"
    for turn in range(10):
        burst.change()
        if turn % 2:  # between two steps of the store, else anywhere
            wait_for_changes(attachments, rng.randint(1, 8), 3)
        else:
            time.sleep(rng.uniform(0, 0.4))
        if whole_tree:
            killed.kill_tree()
        else:
            killed.kill()
        if turn % 3 == 2:
            burst.change()
        killed.start()
    wait_exactly(burst.wanted, made, killed, 60)
    assert len(record_files(killed)) == sum(map(len, burst.wanted.values()))
