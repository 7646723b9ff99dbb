"""The agent as a service: what it reports to its manager, its signals, and the start that it refuses."""

from __future__ import annotations

import itertools
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from functional.bed import Bed
from functional.expectations import ifname
from functional.outcomes import PINGED, WATCHDOG_SECONDS, plugged
from lab import pluginscripts, processes
from lab.agent import Agent
from lab.waiting import eventually

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def agent_arguments() -> dict[str, Any]:
    return {"env": PINGED}


def wait_for_status(running: Agent, words: str) -> None:
    eventually(lambda: words in running.notifications.status, what=f"{words!r} in the status")


@pytest.mark.promise(
    "Credentials: the kubeconfig is missing or unusable",
    "the agent waits, and its status says why; it works once the file is right",
)
def test_is_ready_without_credentials_and_says_what_is_wrong_until_they_are_usable(
    own_bed: Callable[..., Bed], workdir: Path
) -> None:
    path = workdir / "kubeconfig"
    bed = own_bed(kubeconfig=path, env=PINGED)
    running, data = bed.agent, bed.networks.bridge("data")
    pod = bed.node.pod(networks=["data"])
    assert running.notifications.status.startswith("Waiting for credentials: ")
    began = time.monotonic()
    eventually(lambda: len(running.notifications.all("WATCHDOG", began)) >= 3, what="pings while it waits")
    assert running.log().count(f"kubeconfig {path} does not exist") == 1

    bed.api.write_kubeconfig(path, token_file=workdir / "token-of-nobody")
    wait_for_status(running, "token-of-nobody")
    assert str(path) in running.notifications.status
    bed.api.write_kubeconfig(path)
    bed.settles({pod: [data]})


def test_the_status_soon_says_that_the_work_of_a_start_and_of_a_reload_is_done(own_bed: Callable[..., Bed]) -> None:
    bed = own_bed(env={"WATCHDOG_USEC": "60000000"})  # a ping, and so a look at the status, every 20 seconds
    running, data = bed.agent, bed.networks.bridge("data")
    running.stop()
    bed.node.pod(networks=["data"])
    running.start()
    expected = "1 pods, 1 attachments, 0 pods in progress"
    eventually(lambda: running.notifications.status.startswith(expected), 5, expected)
    bed.node.pod(networks=["data"])
    eventually(lambda: len(data.leases()) == 2, what="the second pod's address")
    running.reload()
    expected = "2 pods, 2 attachments, 0 pods in progress"
    eventually(lambda: running.notifications.status.startswith(expected), 5, expected)


# --- the watchdog --------------------------------------------------------------------------------------------------


def assert_pinged(running: Agent) -> None:
    """Pings come in time for a while."""
    since = time.monotonic()
    eventually(lambda: len(running.notifications.all("WATCHDOG", since)) >= 6, what="six pings")
    times = [ping.time for ping in running.notifications.all("WATCHDOG", since)]
    assert max(b - a for a, b in itertools.pairwise([since, *times])) < WATCHDOG_SECONDS
    assert "makes no progress" not in running.log()


def test_a_silent_api_server_or_a_slow_plugin_is_no_reason_to_restart_the_agent(bed: Bed) -> None:
    data = bed.networks.bridge("data")
    gate = bed.plugins.gate("bridge")
    pod = bed.node.pod(networks=["data"])
    gate.wait_reached()
    assert_pinged(bed.agent)
    gate.open()
    bed.settles({pod: [data]})

    bed.api.go_silent()
    assert_pinged(bed.agent)
    bed.api.silent = False
    bed.api.drop_connections()
    pod.annotate([])
    bed.settles({pod: []})


# --- signals -------------------------------------------------------------------------------------------------------


@pytest.mark.promise(
    "Agent: SIGTERM arrives during ADD or DEL",
    "the plugin at work may end, no other one begins; the next start does the rest",
)
@pytest.mark.parametrize("command", ["ADD", "DEL"])
def test_on_sigterm_a_plugin_may_end_and_no_other_one_begins(bed: Bed, command: str) -> None:
    running, data, red = bed.agent, bed.networks.bridge("data"), bed.networks.bridge("red")
    before, after = ([], [data, red]) if command == "ADD" else ([data, red], [])
    pod = bed.node.pod(networks=[network.name for network in before])
    bed.settles({pod: before})
    gate = bed.plugins.gate("bridge", "before", command)
    pod.annotate([network.name for network in after])
    gate.wait_reached()
    since = time.monotonic()
    with ThreadPoolExecutor(1) as pool:
        stopping = pool.submit(running.stop)
        eventually(lambda: running.notifications.all("STOPPING", since), what="STOPPING=1")
        assert not stopping.done()
        gate.open()
        assert stopping.result() == 0
    left = plugged(pod)
    assert set(left) == {ifname(data)}  # ADD begins with it, DEL ends with it
    running.start()
    bed.settles({pod: after})
    if command == "ADD":
        assert plugged(pod)[ifname(data)] == left[ifname(data)]


@pytest.mark.promise(
    "Plugins: a plugin hangs while the agent is stopped", "the agent ends in time, and the next start rolls back"
)
def test_a_plugin_that_hangs_holds_up_the_end_until_the_second_signal(bed: Bed) -> None:
    data = bed.networks.bridge("data")
    gate = bed.plugins.gate("bridge", "after", "ADD")
    pod, running = bed.node.pod(networks=["data"]), bed.agent
    gate.wait_reached()
    since = time.monotonic()
    processes.end([running.pid], signal.SIGTERM)
    eventually(lambda: running.notifications.all("STOPPING", since), what="STOPPING=1")
    assert running.stop(5) == 0
    assert "plugins still running: 1" in running.log()
    gate.open()
    running.start()
    bed.settles({pod: [data]})


def test_a_plugin_that_hangs_holds_up_the_end_no_longer_than_the_stop_timeout(own_bed: Callable[..., Bed]) -> None:
    bed = own_bed(options={"stop-timeout": "2s", "plugin-timeout": "8s"})
    data = bed.networks.bridge()
    bed.plugins.breaks("bridge", "ADD", script=pluginscripts.HANG)
    pod = bed.node.pod(networks=[data.name])
    (hanging,) = eventually(bed.plugins.processes, what="the plugin to hang")
    assert bed.agent.stop(4.5) == 0
    assert bed.plugins.processes() == [hanging]
    bed.plugins.restore("bridge")
    bed.agent.start()  # which waits for the plugin, and then ends it
    bed.settles({pod: [data]}, 25)


def test_a_stop_does_not_wait_for_what_would_be_tried_again_later(bed: Bed) -> None:
    bed.networks.bridge("data")
    bed.plugins.fail("bridge", "ADD")
    bed.node.pod(networks=["data"])
    bed.agent.wait_for_log("next try in")
    assert bed.agent.stop(5) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_agent_stops_at_once(bed: Bed, number: signal.Signals) -> None:
    bed.node.pod()
    wait_for_status(bed.agent, "1 pods, 0 attachments, 0 pods in progress")
    processes.end([bed.agent.pid], number)
    eventually(lambda: not bed.agent.running, 3, "the agent to end")
    assert bed.agent.stop() == 0
    assert f"{number.name} received: stopping" in bed.agent.log()


def test_a_reload_takes_new_credentials_and_keeps_those_it_has_if_the_new_ones_are_broken(bed: Bed) -> None:
    running, data, red = bed.agent, bed.networks.bridge("data"), bed.networks.bridge("red")
    path, since = bed.workdir / "kubeconfig", time.monotonic()
    bed.api.tokens = {"second"}
    bed.api.write_kubeconfig(path, token="second")
    running.reload()
    eventually(lambda: running.notifications.all("READY", since), what="READY=1 after the reload")
    assert running.notifications.all("RELOADING", since)
    assert "reloaded" in running.log()
    pod = bed.attached(data)

    path.write_text("{[")
    running.reload()
    running.wait_for_log("reload: the old credentials stay in use")
    pod.annotate(["red"])
    bed.settles({pod: [red]})
    bed.api.write_kubeconfig(path)


def test_a_reload_tries_at_once_what_has_failed(bed: Bed) -> None:
    data = bed.networks.bridge("data")
    bed.plugins.fail("bridge", "ADD")
    pod = bed.node.pod(networks=["data"])
    # The next try is more than six seconds away.
    eventually(lambda: "still failing after 4 tries" in bed.agent.log(), 20, "four failures")
    bed.plugins.restore("bridge")
    bed.agent.reload()
    bed.settles({pod: [data]}, 4)
