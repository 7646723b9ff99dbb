"""The API server dies, comes back, and no longer knows what it knew: interfaces stay, changes are made up for."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator

import pytest

from e2e.cluster.cluster import Cluster
from e2e.nodepods import NodePods
from functional.expectations import ifname, wait_for_line
from functional.outcomes import wait_exactly
from lab import processes
from lab.agent import Agent, AgentFactory
from lab.networks import Network


def test_a_killed_api_server_costs_no_interface_and_changes_after_it_are_served(
    cluster: Cluster, pods: NodePods, agent: AgentFactory, two: list[Network]
) -> None:
    running = agent()
    pod = pods.make(networks=[two[0].name])
    wait_exactly({pod: two[:1]}, two, running)
    before = pod.links()
    cluster.control.kill_apiserver()
    wait_for_line(running, "lost contact with", timeout=60)
    cluster.control.start_apiserver()
    pod.annotate([network.name for network in two])
    wait_exactly({pod: two}, two, running, 60)
    assert pod.links()[ifname(two[0])] == before[ifname(two[0])]


def test_a_pod_whose_sandbox_ends_while_the_api_server_is_away_has_no_stale_lease_afterwards(
    cluster: Cluster, pods: NodePods, agent: AgentFactory, two: list[Network]
) -> None:
    running = agent()
    pod = pods.make(networks=[two[0].name])
    wait_exactly({pod: two[:1]}, two, running)
    old = pod.sandbox_id
    cluster.control.kill_apiserver()
    pods.kill_sandbox(pod)
    cluster.control.start_apiserver()
    pods.wait_new_sandbox(pod, old)
    wait_exactly({pod: two[:1]}, two, running, 90)


@pytest.fixture
def stopped() -> Iterator[list[Agent]]:
    """Agents that are held (SIGSTOP) by a test; they go on when it is over."""
    held: list[Agent] = []
    yield held
    for each in held:
        processes.end([each.pid], signal.SIGCONT)


def test_what_was_compacted_while_the_agent_was_disconnected_is_listed_again(
    cluster: Cluster, pods: NodePods, agent: AgentFactory, two: list[Network], stopped: list[Agent]
) -> None:
    """A real 410: the version at which the agent's watch stood is known to nobody any more."""
    running = agent()
    pod, gone = pods.make(networks=[two[0].name]), pods.make(networks=[two[0].name])
    wait_exactly({pod: two[:1], gone: two[:1]}, two, running)
    stopped.append(running)
    processes.end([running.pid], signal.SIGSTOP)
    # First the connection dies, so that nothing of what follows waits in it for the agent.
    cluster.control.restart_apiserver()
    pod.annotate([two[1].name])
    cluster.kubectl("delete", "pod", gone.name, "--force", "--grace-period=0")
    gone.wait_gone()
    cluster.control.kill_apiserver()
    cluster.control.compact()
    cluster.control.start_apiserver()
    processes.end([running.pid], signal.SIGCONT)
    line = wait_for_line(running, "relisting the pods", timeout=60)
    assert "410" in line or "too old resource version" in line
    wait_exactly({pod: two[1:]}, two, running, 60)


def test_a_pod_that_came_and_one_that_went_while_the_agent_was_down_are_caught_up_with(
    cluster: Cluster, pods: NodePods, agent: AgentFactory, two: list[Network]
) -> None:
    running = agent()
    staying, going = pods.make(networks=[two[0].name]), pods.make(networks=[two[0].name])
    wait_exactly({staying: two[:1], going: two[:1]}, two, running)
    running.kill()
    staying.annotate([two[1].name])
    cluster.kubectl("delete", "pod", going.name, "--force", "--grace-period=0")
    coming = pods.make(networks=[network.name for network in two])
    started = time.monotonic()
    running.start()
    wait_exactly({staying: two[1:], coming: two}, two, running, 60)
    print(f"caught up within {time.monotonic() - started:.1f} s of the start")


def test_after_the_whole_control_plane_was_restarted_everything_goes_on(
    cluster: Cluster, pods: NodePods, agent: AgentFactory, two: list[Network]
) -> None:
    running = agent()
    pod = pods.make(networks=[two[0].name])
    wait_exactly({pod: two[:1]}, two, running)
    before = pod.links()
    cluster.control.restart()
    pod.annotate([network.name for network in two])
    wait_exactly({pod: two}, two, running, 60)
    assert pod.links()[ifname(two[0])] == before[ifname(two[0])]
