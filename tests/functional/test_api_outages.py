"""The API server is away, refuses, lies or falls silent: nothing is lost, nothing flaps, and nobody is flooded."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from functional.expectations import ifname, messages, wait_for_event
from functional.outcomes import PINGED, WATCHDOG_SECONDS, assert_exactly, plugged, wait_exactly
from lab.agent import AgentFactory
from lab.apiserver import ApiServer
from lab.networks import Networks
from lab.node import Node
from lab.plugins import PluginDir
from lab.waiting import eventually

pytestmark = pytest.mark.root

# What may come within one second: a watch that ended, its resumption, a list, and as much again after an error.
FEW = 6
PODS = "/api/v1/pods"


def busiest_second(times: Iterable[float]) -> int:
    return max(Counter(map(int, times)).values(), default=0)


class ClosedDoor:
    """Where an API server was, as behind a load balancer: connections are accepted and closed at once."""

    def __init__(self, url: str) -> None:
        self.times: list[float] = []
        self._socket = socket.create_server(("127.0.0.1", urlsplit(url).port or 0))
        self._thread = threading.Thread(target=self._turn_away, daemon=True)
        self._thread.start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)
        self._socket.close()

    def _turn_away(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                visitor, _ = self._socket.accept()
                self.times.append(time.monotonic())
                visitor.close()


@contextlib.contextmanager
def away(api: ApiServer) -> Iterator[ClosedDoor]:
    """The API server is away; who calls at its address is counted."""
    api.stop()
    door = ClosedDoor(api.url)
    try:
        yield door
    finally:
        door.close()
        api.start()


# --- away ---------------------------------------------------------------------------------------------------------


@pytest.mark.timeout(240)
def test_everything_that_changed_while_the_api_server_was_away_is_made_up_for(
    agent: AgentFactory, node: Node, networks: Networks, api: ApiServer, plugins: PluginDir
) -> None:
    seconds = 30
    data, red = networks.bridge("data"), networks.bridge("red")
    running = agent(env=PINGED, options={"resync-period": "1s"})
    steady, goes, changes, comes = node.many(4)
    for pod in (steady, goes, changes):
        pod.annotate(["data"])
    wait_exactly({steady: [data], goes: [data], changes: [data], comes: []}, [data, red], running)
    before = plugged(steady)
    plugins.record("bridge")
    used = running.cpu_seconds()
    with away(api) as door:
        left = time.monotonic()
        changes.annotate(["red"])
        comes.annotate(["data", "red"])
        goes.delete()
        created = node.pod(networks=["red"])
        eventually(lambda: time.monotonic() > left + seconds, seconds + 5, "the outage to last")
        assert plugins.calls() == []
        assert running.cpu_seconds() - used < 0.1 * seconds
        assert 1 <= len(door.times) <= 6 + seconds
        assert busiest_second(door.times) <= FEW
        pings = [ping.time for ping in running.notifications.all("WATCHDOG", left)]
        assert max(b - a for a, b in itertools.pairwise(pings)) < WATCHDOG_SECONDS
    wanted = {steady: [data], changes: [red], comes: [data, red], created: [red]}
    wait_exactly(wanted, [data, red], running, 60)
    assert plugged(steady) == before
    assert running.log().count("lost contact with") == 1
    assert running.log().count("back in contact with") == 1


def test_a_pod_is_detached_although_the_api_server_has_gone_away(
    agent: AgentFactory, node: Node, networks: Networks, api: ApiServer, plugins: PluginDir
) -> None:
    data = networks.bridge("data")
    running = agent()
    pod = node.pod(networks=["data"])
    wait_exactly({pod: [data]}, [data], running)
    gate = plugins.gate("bridge", "before", "DEL")
    pod.annotate([])
    gate.wait_reached()
    with away(api):
        gate.open()
        wait_exactly({pod: []}, [data], running)


def test_starts_while_the_api_server_is_away(
    agent: AgentFactory, node: Node, networks: Networks, api: ApiServer
) -> None:
    data = networks.bridge("data")
    pod = node.pod(networks=["data"])
    prepared = agent(start=False)
    with away(api):
        prepared.start()
        prepared.wait_for_log("lost contact with")
        assert "Waiting for the list of pods" in prepared.notifications.status
    wait_exactly({pod: [data]}, [data], prepared)


# --- refusing -----------------------------------------------------------------------------------------------------


def test_converges_after_requests_were_refused_for_a_while_and_asks_sparingly_meanwhile(
    agent: AgentFactory, node: Node, networks: Networks, api: ApiServer
) -> None:
    data = networks.bridge("data")
    running = agent()
    pod = node.pod()
    for status in (500, 503, 403):
        api.fail_next(1, status, match=PODS)
    since = time.monotonic()
    api.drop_connections()
    pod.annotate(["data"])
    wait_exactly({pod: [data]}, [data], running)
    asked = [request.time for request in api.requests.all(resource="pods", since=since)]
    assert len(asked) >= 4
    assert busiest_second(asked) <= FEW
    # Each reason is said once, so that who may do something about it reads it.
    assert all(f"[{status}]" in running.log() or f" {status}" in running.log() for status in (500, 503, 403))


def test_waits_as_long_as_the_api_server_asks_for(
    agent: AgentFactory, node: Node, networks: Networks, api: ApiServer
) -> None:
    data = networks.bridge("data")
    running = agent()
    pod = node.pod()
    eventually(lambda: api.requests.count("watch", "pods") == 1)
    since = time.monotonic()
    api.fail_next(1, 429, retry_after=3, match=PODS)
    api.drop_connections()
    pod.annotate(["data"])
    wait_exactly({pod: [data]}, [data], running)
    refused, after = (request.time for request in api.requests.all(resource="pods", since=since)[:2])
    assert after - refused >= 3


def test_a_definition_that_cannot_be_read_for_a_while_is_read_later(
    agent: AgentFactory, node: Node, networks: Networks, api: ApiServer
) -> None:
    data, red = networks.bridge("data"), networks.bridge("red")
    running = agent()
    api.fail_next(2, 503, match=lambda _, path: path.endswith("/networks/data"))
    pod = node.pod(networks=["data", "red"])
    wait_exactly({pod: [data, red]}, [data, red], running)
    assert messages(api, pod, "NetworkAttachFailed")


@pytest.mark.parametrize("order", ["the file first", "the server first"])
def test_takes_the_new_token_when_it_was_rotated(
    agent: AgentFactory, node: Node, networks: Networks, api: ApiServer, workdir: Path, order: str
) -> None:
    data, red = networks.bridge("data"), networks.bridge("red")
    token = workdir / "token"
    token.write_text("first\n")
    api.set_tokens({"first"})
    running = agent(kubeconfig=api.write_kubeconfig(workdir / "with-token", token_file=token))
    pod = node.pod(networks=["data"])
    wait_exactly({pod: [data]}, [data], running)
    since = time.monotonic()
    if order == "the file first":
        token.write_text("second\n")
        api.set_tokens({"second"})
        api.drop_connections()
    else:
        api.set_tokens({"second"})
        api.drop_connections()
        running.wait_for_log("lost contact with")
        token.write_text("second\n")
    pod.annotate(["data", "red"])
    wait_exactly({pod: [data, red]}, [data, red], running)
    assert busiest_second(request.time for request in api.requests.all(since=since)) <= 2 * FEW


# --- lying --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("running_watches", [True, False], ids=["during a watch", "between two watches"])
def test_lists_again_when_the_history_has_expired(
    agent: AgentFactory, node: Node, networks: Networks, api: ApiServer, running_watches: bool
) -> None:
    data = networks.bridge("data")
    running = agent()
    pod, goes = node.many(2, networks=["data"])
    wait_exactly({pod: [data], goes: [data]}, [data], running)
    since = time.monotonic()
    if not running_watches:
        api.stop()
    goes.delete()
    pod.annotate([])
    created = node.pod(networks=["data"])
    api.expire_history(running_watches=running_watches)
    api.start()
    wait_exactly({pod: [], created: [data]}, [data], running)
    eventually(lambda: api.requests.count("list", "pods", since) == 1)
    pod.annotate(["data"])
    wait_exactly({pod: [data], created: [data]}, [data], running)
    assert api.requests.count("list", "pods", since) == 1


def test_nothing_is_lost_with_a_truncated_line_of_the_watch(
    agent: AgentFactory, node: Node, networks: Networks, api: ApiServer
) -> None:
    data = networks.bridge("data")
    running = agent()
    pod = node.pod()
    since = time.monotonic()
    api.truncate_next_watch_line()
    pod.annotate(["data"])
    wait_exactly({pod: [data]}, [data], running)
    api.truncate_next_watch_line()
    pod.annotate([])
    wait_exactly({pod: []}, [data], running)
    assert busiest_second(request.time for request in api.requests.all(resource="pods", since=since)) <= 2 * FEW


# --- silent -------------------------------------------------------------------------------------------------------


@pytest.mark.timeout(180)
def test_a_connection_that_fell_silent_is_noticed_within_a_minute(
    agent: AgentFactory, node: Node, networks: Networks, api: ApiServer
) -> None:
    data, red = networks.bridge("data"), networks.bridge("red")
    running = agent(env=PINGED)
    pod, neighbour = node.many(2, networks=["data"])
    wait_exactly({pod: [data], neighbour: [data]}, [data, red], running)
    before = plugged(neighbour)
    since = time.monotonic()
    api.go_silent(new_connections=False)
    pod.annotate(["red"])
    pod.wait_for_link(ifname(red), 60)
    wait_exactly({pod: [red], neighbour: [data]}, [data, red], running)
    assert plugged(neighbour) == before
    assert busiest_second(request.time for request in api.requests.all(since=since)) <= FEW


def test_a_slow_api_server_is_only_slow(agent: AgentFactory, node: Node, networks: Networks, api: ApiServer) -> None:
    data = networks.bridge("data")
    api.delay_requests(1)
    running = agent()
    pod = node.pod(networks=["data"])
    wait_exactly({pod: [data]}, [data], running)
    pod.annotate([])
    wait_exactly({pod: []}, [data], running)


# --- Events -------------------------------------------------------------------------------------------------------


def test_users_read_in_events_what_happened_to_their_pod(
    agent: AgentFactory, node: Node, networks: Networks, api: ApiServer
) -> None:
    data = networks.bridge("data")
    running = agent()
    pod = node.pod("web", "shop", networks=["data"])
    wait_exactly({pod: [data]}, [data], running)
    wait_for_event(api, pod, "NetworkAttached", "network data", plugged(pod)[ifname(data)].addresses[0])
    pod.annotate([])
    wait_for_event(api, pod, "NetworkDetached", "network data")
    (attached,) = (event for event in api.events("shop", "web") if event["reason"] == "NetworkAttached")
    assert attached["type"] == "Normal"
    assert attached["source"] == {"component": "podagent", "host": node.name}
    about = {key: attached["involvedObject"][key] for key in ("kind", "namespace", "name", "uid")}
    assert about == {"kind": "Pod", "namespace": "shop", "name": "web", "uid": pod.object_uid}


def test_without_the_permission_to_write_events_everything_else_works(
    agent: AgentFactory, node: Node, networks: Networks, api: ApiServer
) -> None:
    data = networks.bridge("data")
    api.fail_next(1_000_000, 403, match=lambda _, path: path.endswith("/events"))
    running = agent()
    pod = node.pod()
    for _ in range(2):
        pod.annotate(["data"])
        wait_exactly({pod: [data]}, [data], running)
        pod.annotate([])
        wait_exactly({pod: []}, [data], running)
    eventually(lambda: api.requests.count("create", "events") == 4, what="four Events to be tried")
    assert api.events() == []
    assert running.log().count("Events cannot be written; allow this user to create and patch events") == 1
    assert_exactly({pod: []}, [data], running)
