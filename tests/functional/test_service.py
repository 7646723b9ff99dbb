"""The agent as a service: what it tells its manager, its signals, and the starts that it refuses."""

from __future__ import annotations

import ctypes
import itertools
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from functional.expectations import ifname
from functional.outcomes import PINGED, WATCHDOG_SECONDS, plugged, settle, wait_exactly
from lab import processes
from lab.agent import Agent, AgentFactory
from lab.apiserver import ApiServer
from lab.networks import Networks
from lab.node import Node
from lab.plugins import PluginDir
from lab.waiting import eventually

pytestmark = pytest.mark.root


# --- credentials that come later -----------------------------------------------------------------------------------


def test_is_ready_without_a_kubeconfig_says_so_and_takes_it_when_it_comes(
    agent: AgentFactory, node: Node, networks: Networks, api: ApiServer, workdir: Path
) -> None:
    data = networks.bridge("data")
    pod = node.pod(networks=["data"])
    missing = workdir / "not-yet"
    running = agent(kubeconfig=missing, env=PINGED)
    assert running.notifications.status.startswith("Waiting for credentials: ")
    assert str(missing) in running.notifications.status
    assert f"kubeconfig {missing}" in running.log()
    began = time.monotonic()
    eventually(lambda: len(running.notifications.all("WATCHDOG", began)) >= 3, what="pings while it waits")
    # As `scp` or `install` would: not there, then half of it, then all of it.
    whole = api.write_kubeconfig(workdir / "whole").read_text()
    missing.write_text(whole[:100])
    eventually(lambda: "is not YAML" in running.notifications.status, what="half a file to be noticed")
    missing.write_text(whole)
    settle(running, began)
    wait_exactly({pod: [data]}, [data], running, 5)
    assert running.log().count("does not exist") == 1


BROKEN = {
    "is empty": ("", "is not a mapping"),
    "is no YAML": ("{[", "is not YAML"),
    "has no server": (json.dumps({"current-context": "lab", "contexts": [], "clusters": []}), "lab"),
    "names a token file that is missing": ("token file", "token-file-of-nobody"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_takes_a_broken_kubeconfig_once_it_is_mended(
    agent: AgentFactory, node: Node, networks: Networks, api: ApiServer, workdir: Path, fault: str
) -> None:
    data = networks.bridge("data")
    kubeconfig = workdir / "broken"
    content, words = BROKEN[fault]
    if content == "token file":
        api.write_kubeconfig(kubeconfig, token_file=workdir / "token-file-of-nobody")
    else:
        kubeconfig.write_text(content)
    running = agent(kubeconfig=kubeconfig)
    eventually(lambda: words in running.notifications.status, what=f"{words!r} in the status")
    assert str(kubeconfig) in running.notifications.status
    pod = node.pod(networks=["data"])
    api.write_kubeconfig(kubeconfig)
    wait_exactly({pod: [data]}, [data], running, 10)


# --- the status ----------------------------------------------------------------------------------------------------


def test_the_status_soon_says_that_the_work_of_a_start_and_of_a_reload_is_done(
    agent: AgentFactory, node: Node, networks: Networks
) -> None:
    data = networks.bridge("data")
    node.pod(networks=["data"])
    running = agent(env={"WATCHDOG_USEC": "60000000"})  # a ping, and so a look at the status, every 20 seconds
    expected = "1 pods, 1 attachments, 0 pods in progress"
    eventually(lambda: running.notifications.status == expected, 5, expected)
    node.pod(networks=["data"])
    eventually(lambda: len(data.leases()) == 2, what="the second pod's address")
    running.reload()
    expected = "2 pods, 2 attachments, 0 pods in progress"
    eventually(lambda: running.notifications.status == expected, 5, expected)


# --- the watchdog --------------------------------------------------------------------------------------------------


def longest_gap(running: Agent, since: float) -> float:
    times = [ping.time for ping in running.notifications.all("WATCHDOG", since)]
    return max(b - a for a, b in itertools.pairwise([since, *times]))


def test_pings_its_watchdog_also_when_the_api_server_does_not_answer(
    agent: AgentFactory, node: Node, networks: Networks, api: ApiServer
) -> None:
    data = networks.bridge("data")
    running = agent(env=PINGED)
    pod = node.pod(networks=["data"])
    wait_exactly({pod: [data]}, [data], running)
    since = time.monotonic()
    api.go_silent()
    eventually(lambda: len(running.notifications.all("WATCHDOG", since)) >= 6, what="six pings")
    assert longest_gap(running, since) < WATCHDOG_SECONDS
    assert "makes no progress" not in running.log()
    api.resume()
    api.drop_connections()
    pod.annotate([])
    wait_exactly({pod: []}, [data], running)


def test_a_plugin_that_is_slow_is_no_reason_to_restart_the_agent(
    agent: AgentFactory, node: Node, networks: Networks, plugins: PluginDir
) -> None:
    data = networks.bridge("data")
    gate = plugins.gate("bridge")
    running = agent(env=PINGED)
    pod = node.pod(networks=["data"])
    gate.wait_reached()
    since = time.monotonic()
    eventually(lambda: len(running.notifications.all("WATCHDOG", since)) >= 6, what="six pings")
    assert longest_gap(running, since) < WATCHDOG_SECONDS
    gate.open()
    wait_exactly({pod: [data]}, [data], running)


def test_no_ping_comes_without_a_watchdog(agent: AgentFactory, node: Node, networks: Networks) -> None:
    data = networks.bridge("data")
    running = agent()
    pod = node.pod(networks=["data"])
    wait_exactly({pod: [data]}, [data], running)
    assert running.stop() == 0
    assert running.notifications.all("WATCHDOG") == []


_ALL_THREADS = 0x40000000  # __WALL of waitpid(2)
_SEIZE, _INTERRUPT, _DETACH = 0x4206, 0x4207, 17  # ptrace(2)
_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)


def _ptrace(request: int, tid: int) -> None:
    if _libc.ptrace(request, tid, None, None) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"ptrace of thread {tid}: {os.strerror(number)}")


@contextmanager
def stuck(pid: int) -> Iterator[None]:
    """All threads of a process but the main one make no step, as in a system call that never returns."""
    threads = [int(path.name) for path in Path(f"/proc/{pid}/task").iterdir() if path.name != str(pid)]
    for tid in threads:
        _ptrace(_SEIZE, tid)
        _ptrace(_INTERRUPT, tid)
        os.waitpid(tid, _ALL_THREADS)
    try:
        yield
    finally:
        for tid in threads:
            _ptrace(_DETACH, tid)


def test_the_pings_end_when_a_loop_is_stuck_and_come_again_when_it_goes_on(
    agent: AgentFactory, node: Node, networks: Networks, api: ApiServer
) -> None:
    data = networks.bridge("data")
    running = agent(env=PINGED)
    pod = node.pod()
    api.stop()
    # Between two tries it promises the least time to the next sign of life.
    running.wait_for_log("lost contact with")
    with stuck(running.pid):
        running.wait_for_log("the pod watch makes no progress; systemd will restart the agent", 60)
        since = time.monotonic()
        eventually(lambda: time.monotonic() > since + 2 * WATCHDOG_SECONDS, what="the watchdog's time to pass")
        assert running.notifications.all("WATCHDOG", since) == []
    api.start()
    running.wait_for_log("the pod watch makes progress again")
    eventually(lambda: running.notifications.all("WATCHDOG", since), what="a ping")
    pod.annotate(["data"])
    wait_exactly({pod: [data]}, [data], running)


# --- signals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["ADD", "DEL"])
def test_told_to_stop_it_lets_the_plugin_end_and_begins_nothing_else(
    agent: AgentFactory, node: Node, networks: Networks, plugins: PluginDir, command: str
) -> None:
    data, red = networks.bridge("data"), networks.bridge("red")
    both = {ifname(data), ifname(red)}
    running = agent()
    pod = node.pod(networks=[] if command == "ADD" else ["data", "red"])
    if command == "DEL":
        wait_exactly({pod: [data, red]}, [data, red], running)
    gate = plugins.gate("bridge", "before", command)
    pod.annotate(["data", "red"] if command == "ADD" else [])
    gate.wait_reached()
    with ThreadPoolExecutor(1) as pool:
        stopping = pool.submit(running.stop)
        eventually(lambda: running.notifications.all("STOPPING"), what="STOPPING=1")
        assert not stopping.done()
        gate.open()
        assert stopping.result() == 0
    first = {ifname(data)} if command == "ADD" else both - {ifname(red)}
    assert set(plugged(pod)) == first
    before = plugged(pod)
    running.start()
    if command == "ADD":
        wait_exactly({pod: [data, red]}, [data, red], running)
        assert plugged(pod)[ifname(data)] == before[ifname(data)]
    else:
        wait_exactly({pod: []}, [data, red], running)


def test_told_to_stop_it_does_not_wait_for_what_it_would_try_again_later(
    agent: AgentFactory, node: Node, networks: Networks, plugins: PluginDir
) -> None:
    networks.bridge("data")
    plugins.fail("bridge", "ADD")
    running = agent()
    node.pod(networks=["data"])
    running.wait_for_log("next try in")
    assert running.stop(5) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_agent_stops_at_once(agent: AgentFactory, node: Node, number: signal.Signals) -> None:
    running = agent(env=PINGED)
    node.pod()
    settle(running, 0)
    processes.end([running.pid], number)
    eventually(lambda: not running.running, 3, "the agent to end")
    assert running.stop() == 0
    assert f"{number.name} received: stopping" in running.log()


def test_a_reload_takes_new_credentials(
    agent: AgentFactory, node: Node, networks: Networks, api: ApiServer, workdir: Path
) -> None:
    data = networks.bridge("data")
    kubeconfig = api.write_kubeconfig(workdir / "with-token", token="first")
    api.set_tokens({"first", "second"})
    running = agent(kubeconfig=kubeconfig, env=PINGED)
    settle(running, 0)
    since = time.monotonic()
    api.write_kubeconfig(kubeconfig, token="second")
    running.reload()
    eventually(lambda: running.notifications.all("READY", since), what="READY=1 after the reload")
    assert running.notifications.all("RELOADING", since)
    assert "reloaded" in running.log()
    api.set_tokens({"second"})
    pod = node.pod(networks=["data"])
    wait_exactly({pod: [data]}, [data], running)


def test_a_reload_with_a_broken_kubeconfig_keeps_the_credentials_it_has(
    agent: AgentFactory, node: Node, networks: Networks, api: ApiServer, workdir: Path
) -> None:
    data = networks.bridge("data")
    kubeconfig = api.write_kubeconfig(workdir / "own")
    running = agent(kubeconfig=kubeconfig, env=PINGED)
    settle(running, 0)
    kubeconfig.write_text("{[")
    running.reload()
    running.wait_for_log("reload: the old credentials stay in use")
    pod = node.pod(networks=["data"])
    wait_exactly({pod: [data]}, [data], running)


def test_a_reload_tries_at_once_what_has_failed(
    agent: AgentFactory, node: Node, networks: Networks, plugins: PluginDir
) -> None:
    data = networks.bridge("data")
    plugins.fail("bridge", "ADD")
    running = agent()
    pod = node.pod(networks=["data"])
    # The fourth failure in a row: the next try is more than six seconds away.
    eventually(lambda: running.log().count("next try in") >= 4, 20, "four failures")
    plugins.restore("bridge")
    running.reload()
    wait_exactly({pod: [data]}, [data], running, 4)


# --- starts that it refuses ----------------------------------------------------------------------------------------


def run(agent: Agent, **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs the agent in the expectation that it ends by itself."""
    agent.options |= {name.replace("_", "-"): value for name, value in options.items()}
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    return subprocess.run(agent.command(), env=env, capture_output=True, text=True, timeout=20, check=False)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"resync_period": "soon"}, ["resync-period", "soon", "a duration from"]),
        ({"attach_via": "magic"}, ["attach-via", "magic", "one of auto, system, delegate"]),
        ({"docker_endpoint": "tcp://10.0.0.1:2375"}, ["docker-endpoint", "the runtime of its own node"]),
        ({"no_such_flag": "1"}, ["no-such-flag"]),
        ({"config": "unknown-key.toml"}, ["unknown-key.toml", "colour"]),
    ],
)
def test_a_wrong_setting_is_refused_with_code_2_and_its_name(
    agent: AgentFactory, workdir: Path, options: dict[str, str], words: list[str]
) -> None:
    if "config" in options:
        settings = workdir / options["config"]
        settings.write_text('colour = "green"\n')
        options = {"config": str(settings)}
    refused = run(agent(start=False), **options)
    assert refused.returncode == 2
    assert all(word in refused.stderr for word in words), refused.stderr
    assert len(refused.stderr.splitlines()) == 1


def test_a_second_agent_on_the_same_state_is_refused_and_the_first_one_works_on(
    agent: AgentFactory, node: Node, networks: Networks
) -> None:
    data = networks.bridge("data")
    running = agent()
    pod = node.pod(networks=["data"])
    wait_exactly({pod: [data]}, [data], running)
    before = plugged(pod)
    refused = run(agent(start=False), state_dir=running.state_dir)
    assert refused.returncode == 1
    assert f"state directory {running.state_dir} is in use by another podagent" in refused.stderr
    assert plugged(pod) == before
    pod.annotate([])
    wait_exactly({pod: []}, [data], running)
