"""What something else changed in a pod is repaired; and a node where nothing changes is left in peace."""

from __future__ import annotations

import time

import pytest

from functional.expectations import ifname, wait_for_event
from functional.outcomes import PINGED, delete_link, plugged, settle, wait_exactly
from functional.ways import BOTH_WAYS
from lab.agent import AgentFactory
from lab.apiserver import ApiServer
from lab.networks import Networks
from lab.node import Node
from lab.plugins import PluginDir
from lab.waiting import eventually

pytestmark = [pytest.mark.root, BOTH_WAYS]


def test_a_link_deleted_by_hand_comes_back_with_the_next_resync(
    agent: AgentFactory, node: Node, networks: Networks, api: ApiServer
) -> None:
    data, red = networks.bridge("data"), networks.bridge("red")
    running = agent(options={"resync-period": "1s"})
    pod, neighbour = node.many(2, networks=["data", "red"])
    wait_exactly({pod: [data, red], neighbour: [data, red]}, [data, red], running)
    untouched = (plugged(pod)[ifname(red)], plugged(neighbour))
    delete_link(pod, ifname(data))
    wait_exactly({pod: [data, red], neighbour: [data, red]}, [data, red], running)
    assert (plugged(pod)[ifname(red)], plugged(neighbour)) == untouched
    wait_for_event(api, pod, "NetworkDrifted", ifname(data))


def test_without_a_resync_only_a_reload_repairs_what_was_changed_by_hand(
    agent: AgentFactory, node: Node, networks: Networks
) -> None:
    data = networks.bridge("data")
    running = agent(env=PINGED, options={"resync-period": "0"})
    pod = node.pod(networks=["data"])
    wait_exactly({pod: [data]}, [data], running)
    settle(running, time.monotonic() - 60)
    delete_link(pod, ifname(data))
    # Proof that it went on working meanwhile, without looking at this pod.
    other = node.pod(networks=["data"])
    other.wait_for_link(ifname(data))
    assert plugged(pod) == {}
    running.reload()
    wait_exactly({pod: [data], other: [data]}, [data], running)


def test_a_link_deleted_by_hand_is_no_obstacle_to_unplugging(
    agent: AgentFactory, node: Node, networks: Networks
) -> None:
    data = networks.bridge("data")
    running = agent(options={"resync-period": "1h"})
    pod = node.pod(networks=["data"])
    wait_exactly({pod: [data]}, [data], running)
    delete_link(pod, ifname(data))
    pod.annotate([])
    wait_exactly({pod: []}, [data], running)


def test_an_idle_agent_neither_works_nor_logs_nor_runs_plugins(
    agent: AgentFactory, node: Node, networks: Networks, plugins: PluginDir, api: ApiServer
) -> None:
    data = networks.bridge("data")
    running = agent(options={"resync-period": "1s", "log-level": "info"})
    pods = node.many(3, networks=["data"])
    wanted = {pod: [data] for pod in pods}
    wait_exactly(wanted, [data], running)
    eventually(lambda: len(api.events()) == 3, what="the Events to be written")
    plugins.record("bridge")
    before = [plugged(pod) for pod in pods]
    logged, used, since = running.log(), running.cpu_seconds(), time.monotonic()
    time.sleep(4)  # nothing happens: there is nothing to wait for
    assert running.cpu_seconds() - used < 0.4
    assert running.log() == logged
    assert plugins.calls() == []
    assert api.requests.all(since=since) == []
    assert [plugged(pod) for pod in pods] == before
    wait_exactly(wanted, [data], running)
