"""The control plane dies, comes back, and no longer has what it had: interfaces stay, changes are made up for."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from e2e.cluster.cluster import Cluster
from e2e.nodepods import NodePods
from functional.expectations import ifname, wait_for_line
from functional.outcomes import settles
from lab import processes
from lab.agent import Agent, AgentFactory
from lab.networks import Network


def test_a_killed_control_plane_costs_no_interface_and_what_happens_meanwhile_is_made_up_for(
    cluster: Cluster, pods: NodePods, agent: AgentFactory, two: list[Network]
) -> None:
    running = agent()
    pod, ending = (pods.make(networks=[two[0].name]) for _ in range(2))
    settles({pod: two[:1], ending: two[:1]}, two, running)
    before = pod.links()
    cluster.control.kill()
    wait_for_line(running, "lost contact with", timeout=60)
    killed = ending.kill_sandbox()
    cluster.control.start()
    pod.annotate([network.name for network in two])
    ending.wait_new_sandbox(killed)
    settles({pod: two, ending: two[:1]}, two, running, 90)
    assert pod.links()[ifname(two[0])] == before[ifname(two[0])]


@pytest.fixture
def stopped(agent: AgentFactory) -> Iterator[Agent]:
    """An agent that is held (SIGSTOP); it goes on when the test is over."""
    held = agent()
    yield held
    processes.end([held.pid], signal.SIGCONT)


@pytest.mark.promise(
    "API server: etcd drops the history that the watch needs",
    "the pods are listed again, and no change is missed",
)
@pytest.mark.once
def test_changes_compacted_while_the_agent_was_disconnected_are_listed_again(
    cluster: Cluster, pods: NodePods, stopped: Agent, two: list[Network]
) -> None:
    """A real 410: the version at which the agent's watch stood is in nobody's memory any more."""
    pod, gone = (pods.make(networks=[two[0].name]) for _ in range(2))
    settles({pod: two[:1], gone: two[:1]}, two, stopped)
    processes.end([stopped.pid], signal.SIGSTOP)
    # First the connection dies, so that nothing of the changes waits in it for the agent.
    cluster.control.apiserver.kill()
    cluster.control.start()
    pod.annotate([two[1].name])
    gone.delete()
    cluster.control.apiserver.kill()
    cluster.control.compact()
    cluster.control.start()
    processes.end([stopped.pid], signal.SIGCONT)
    line = wait_for_line(stopped, "relisting the pods", timeout=60)
    assert "410" in line or "too old resource version" in line
    settles({pod: two[1:]}, two, stopped, 60)
