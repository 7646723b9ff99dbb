"""SIGKILL of kactus at any step: what the next call finds is put in order, and nothing is ever left for good.

The default interface is the ptp plugin's and the network the bridge plugin's, so that either can be held up.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable

import pytest

from functional.expectations import ifname
from functional.kactus.sandboxes import Sandbox, SandboxFactory
from lab import processes
from lab.apiserver import ApiServer
from lab.kactus import Running
from lab.networks import Network, Networks
from lab.plugins import PluginDir
from lab.waiting import eventually

pytestmark = pytest.mark.root

ALONE, WITH_ITS_PLUGIN = "alone", "with its plugin"
# Plugin and point that is reached, command, way of the call, how it is killed, and the next call: every point of each
# command, and with each command both ways, both kinds of kill and both next calls.
KILLS = [
    ("bridge", "before", "ADD", "at start", ALONE, "DEL"),
    ("host-local", "before", "ADD", "later", WITH_ITS_PLUGIN, "DEL"),
    ("host-local", "after", "ADD", "at start", WITH_ITS_PLUGIN, "DEL"),
    ("bridge", "after", "ADD", "later", ALONE, "DEL"),
    ("bridge", "before", "DEL", "later", ALONE, "DEL"),
    ("host-local", "before", "DEL", "at start", WITH_ITS_PLUGIN, "DEL"),
    ("host-local", "after", "DEL", "later", WITH_ITS_PLUGIN, "DEL"),
    ("bridge", "after", "DEL", "at start", ALONE, "DEL"),
    ("host-local", "after", "ADD", "later", ALONE, "ADD"),
    ("bridge", "before", "ADD", "at start", WITH_ITS_PLUGIN, "ADD"),
    ("host-local", "after", "DEL", "at start", ALONE, "ADD"),
    ("bridge", "before", "DEL", "later", WITH_ITS_PLUGIN, "ADD"),
]
SWEEP = 10


@pytest.fixture
def master(networks: Networks) -> Network:
    network = networks.bridge(type="ptp")
    networks.undefine(network)
    return network


@pytest.fixture
def red(networks: Networks) -> Network:
    return networks.bridge()


@pytest.fixture
def pod(sandbox: SandboxFactory, red: Network) -> Sandbox:
    made: Sandbox = sandbox([{"name": red.name}])
    return made


def begin(pod: Sandbox, red: Network, command: str, way: str) -> Running:
    """The call that is to be killed; what it needs to be there is there."""
    if way == "at start":
        return pod.begin_start() if command == "ADD" else pod.begin_end()
    return pod.begin_attach(red) if command == "ADD" else pod.begin_detach(red)


def prepare(pod: Sandbox, red: Network, command: str, way: str) -> None:
    """`pod` as it is before such a call."""
    if command == "DEL" or way == "later":
        assert pod.start().ok
    if command == "ADD" and way == "later":
        assert pod.detach(red).ok


def asks_for_the_lock(pod: Sandbox, call: Running) -> bool:
    """Whether the call has come as far as the lock of its container, or has ended."""
    lock = pod.kactus.cni_dir / ".locks" / pod.id
    return not call.running or str(lock) in processes.open_files(call.pid)


@pytest.mark.promise(
    "kactus: kactus is killed during ADD or DEL, with its plugins or without them",
    "the next call waits for the plugins and ends as usual; no address leaks",
)
@pytest.mark.parametrize(("plugin", "point", "command", "way", "how", "following"), KILLS)
def test_the_next_call_after_a_kill_ends_as_if_there_had_been_none(
    pod: Sandbox, red: Network, master: Network, plugins: PluginDir,
    plugin: str, point: str, command: str, way: str, how: str, following: str,
) -> None:  # fmt: skip
    prepare(pod, red, command, way)
    gate = plugins.gate(plugin, point, command)
    killed = begin(pod, red, command, way)
    gate.wait_reached()
    if how == ALONE:
        killed.kill()
    else:
        killed.kill_tree()
    call = pod.begin_end() if following == "DEL" else begin(pod, red, "ADD", way)
    # The plugin that was left alone finishes its work beside the next call, which has to wait for it.
    eventually(lambda: asks_for_the_lock(pod, call), 15, "the next call to ask for the lock")
    gate.open()
    answer = call.answer()
    assert answer.ok, answer
    if following == "ADD":
        assert ifname(red) in pod.links()
        assert pod.leases(red) == [ifname(red)]
        if way == "at start":
            assert answer.addresses == list(pod.links()["eth0"].addresses)
            assert pod.leases(master) == ["eth0"]
        assert pod.end().ok
    pod.assert_nothing_left()


@pytest.mark.parametrize("way", ["at start", "later"])
def test_a_kill_while_the_api_server_is_asked_leaves_nothing(
    pod: Sandbox, red: Network, api: ApiServer, way: str
) -> None:
    prepare(pod, red, "ADD", way)
    api.go_silent()
    call = begin(pod, red, "ADD", way)
    eventually(lambda: api.open_connections, 10, "kactus to ask the API server")
    call.kill()
    api.silent = False
    assert pod.end().ok
    pod.assert_nothing_left()


@pytest.mark.parametrize("command", ["ADD", "DEL"])
def test_a_kill_at_any_moment_leaves_nothing(pod: Sandbox, red: Network, command: str) -> None:
    kinds: list[Callable[[Running], None]] = [Running.kill, Running.kill_tree]
    began = time.monotonic()
    assert pod.start().ok
    added = time.monotonic()
    assert pod.end().ok
    lasts = (added - began) if command == "ADD" else (time.monotonic() - added)
    for number, kill in zip(range(SWEEP), itertools.cycle(kinds), strict=False):
        prepare(pod, red, command, "at start")
        call = begin(pod, red, command, "at start")
        time.sleep(lasts * (number + 0.5) / SWEEP)
        kill(call)
        answer = pod.end()
        assert answer.ok, answer
        pod.assert_nothing_left()
