"""The API server is away, refuses, lies or falls silent: nothing is lost, nothing flaps, and nobody is flooded."""

from __future__ import annotations

import contextlib
import itertools
import socketserver
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from functional.bed import Bed
from functional.expectations import ifname, wait_for_event
from functional.outcomes import PINGED, WATCHDOG_SECONDS, plugged
from lab.apiserver import ApiServer
from lab.waiting import eventually
from podagent.cli import main

pytestmark = pytest.mark.root

# What may come within one second: a watch that ended, its resumption, a list, and as much again after an error.
FEW = 6


@pytest.fixture(scope="module")
def agent_arguments() -> dict[str, Any]:
    return {"env": PINGED, "options": {"resync-period": "1s"}}


@pytest.fixture
def fresh(bed: Bed) -> Bed:
    """Its agent has met no failure yet: its pauses grow with those in a row, and they outlast a test."""
    bed.agent.stop()
    bed.agent.start()
    return bed


def busiest_second(times: Iterable[float]) -> int:
    return max(Counter(map(int, times)).values(), default=0)


class ClosedDoor(socketserver.TCPServer):
    """Where an API server was, as behind a load balancer: connections are accepted and closed at once."""

    allow_reuse_address = True

    def __init__(self, url: str) -> None:
        super().__init__(("127.0.0.1", urlsplit(url).port or 0), socketserver.BaseRequestHandler)
        self.times: list[float] = []

    def verify_request(self, *_: object) -> bool:
        self.times.append(time.monotonic())
        return False


@contextlib.contextmanager
def away(api: ApiServer) -> Iterator[ClosedDoor]:
    """The API server is away; who calls at its address is counted."""
    api.stop()
    with ClosedDoor(api.url) as door:
        threading.Thread(target=door.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield door
        finally:
            door.shutdown()
    api.start()


# --- away ---------------------------------------------------------------------------------------------------------


def calls_of(bed: Bed) -> list[tuple[str, str]]:
    return [(call.env["CNI_COMMAND"], call.env["CNI_CONTAINERID"]) for call in bed.plugins.calls()]


@pytest.mark.promise(
    "API server: the API server is away",
    "no running pod is detached; what changed meanwhile is followed once it is back",
)
@pytest.mark.timeout(240)
def test_everything_that_changed_while_the_api_server_was_away_is_made_up_for(fresh: Bed) -> None:
    seconds = 30
    running, data, red = fresh.agent, fresh.networks.bridge("data"), fresh.networks.bridge("red")
    steady, goes, changes, comes = fresh.node.many(4)
    for pod in (steady, goes, changes):
        pod.annotate(["data"])
    fresh.settles({steady: [data], goes: [data], changes: [data], comes: []})
    before, ended = plugged(steady), goes.sandbox_id
    fresh.plugins.record("bridge")
    used = running.cpu_seconds()
    with away(fresh.api) as door:
        left = time.monotonic()
        changes.annotate(["red"])
        comes.annotate(["data", "red"])
        goes.delete()
        created = fresh.node.pod(networks=["red"])
        eventually(lambda: time.monotonic() > left + seconds, seconds + 5, "the outage to last")
        assert calls_of(fresh) == [("DEL", ended)], "its containers have ended, whatever the API server says"
        assert running.cpu_seconds() - used < 0.1 * seconds
        assert 1 <= len(door.times) <= 6 + seconds
        assert busiest_second(door.times) <= FEW
        pings = [ping.time for ping in running.notifications.all("WATCHDOG", left)]
        assert max(b - a for a, b in itertools.pairwise(pings)) < WATCHDOG_SECONDS
    fresh.settles({steady: [data], changes: [red], comes: [data, red], created: [red]}, 60)
    assert plugged(steady) == before
    assert running.log().count("lost contact with") == 1
    assert running.log().count("back in contact with") == 1


def test_a_pod_is_detached_although_the_api_server_has_gone_away(bed: Bed) -> None:
    data = bed.networks.bridge("data")
    pod = bed.attached(data)
    gate = bed.plugins.gate("bridge", "before", "DEL")
    pod.annotate([])
    gate.wait_reached()
    with away(bed.api):
        gate.open()
        bed.settles({pod: []})


def test_starts_while_the_api_server_is_away_and_works_when_it_is_slow(bed: Bed) -> None:
    data = bed.networks.bridge("data")
    bed.agent.stop()
    pod = bed.node.pod(networks=["data"])
    with away(bed.api):
        bed.agent.start()
        bed.agent.wait_for_log("lost contact with")
        assert "Waiting for the list of pods" in bed.agent.notifications.status
        bed.api.delay_s = 1
    bed.settles({pod: [data]})
    pod.annotate([])
    bed.settles({pod: []})


# --- refusing -----------------------------------------------------------------------------------------------------


def test_a_definition_that_cannot_be_read_for_a_while_is_read_later(bed: Bed) -> None:
    data, red = bed.networks.bridge("data"), bed.networks.bridge("red")
    bed.api.fail_next(2, 503, "/networks/data")
    pod = bed.attached(data, red)
    wait_for_event(bed.api, pod, "NetworkAttachFailed")


@pytest.mark.promise(
    "Credentials: a token is rotated, on the node or on the server first",
    "the agent takes the new token without a restart",
)
def test_takes_the_new_token_when_it_was_rotated_here_or_there_first(bed: Bed) -> None:
    running, data, red = bed.agent, bed.networks.bridge("data"), bed.networks.bridge("red")
    kubeconfig, token = bed.workdir / "kubeconfig", bed.workdir / "token"
    token.write_text("first\n")
    running.stop()
    bed.api.tokens = {"first"}
    bed.api.write_kubeconfig(kubeconfig, token_file=token)
    running.start()
    pod = bed.attached(data)
    since = time.monotonic()
    token.write_text("second\n")
    bed.api.tokens = {"second"}
    bed.api.drop_connections()
    pod.annotate(["data", "red"])
    bed.settles({pod: [data, red]})

    bed.api.tokens = {"third"}
    bed.api.drop_connections()
    running.wait_for_log("lost contact with")
    token.write_text("third\n")
    pod.annotate(["red"])
    bed.settles({pod: [red]})
    assert busiest_second(request.time for request in bed.api.requests.all(since=since)) <= 2 * FEW
    running.stop()
    bed.api.write_kubeconfig(kubeconfig)


# --- silent -------------------------------------------------------------------------------------------------------


@pytest.mark.promise("API server: a connection falls silent", "it is replaced within a minute")
@pytest.mark.timeout(180)
def test_a_connection_that_fell_silent_is_noticed_within_a_minute(fresh: Bed) -> None:
    data, red = fresh.networks.bridge("data"), fresh.networks.bridge("red")
    pod, neighbour = fresh.all_attached(2, data)
    before = plugged(neighbour)
    since = time.monotonic()
    fresh.api.go_silent(new_connections=False)
    pod.annotate(["red"])
    pod.wait_for_link(ifname(red), 60)
    fresh.settles({pod: [red], neighbour: [data]})
    assert plugged(neighbour) == before
    assert busiest_second(request.time for request in fresh.api.requests.all(since=since)) <= FEW


# --- lying --------------------------------------------------------------------------------------------------------


@pytest.mark.promise("API server: a list of pods is empty although the pods exist", "no pod is detached")
@pytest.mark.attack
@pytest.mark.parametrize("empty_lists", [1, 2])
def test_lists_that_lack_every_pod_detach_nothing(fresh: Bed, empty_lists: int) -> None:
    made = [fresh.networks.bridge(name) for name in ("data", "red")]
    pods = fresh.all_attached(4, *made)
    before = [plugged(pod) for pod in pods]
    fresh.plugins.record("bridge")
    fresh.api.empty_lists = empty_lists
    fresh.api.expire_history(running_watches=True)
    fresh.agent.wait_for_log("the list of pods lacks 4 of the 4 pods that have attachments")
    if empty_lists > 1:
        fresh.agent.wait_for_log("but still has it: its networks stay")
    new = fresh.node.pod(networks=["data"])
    pods[0].annotate(["data"])
    fresh.settles({new: [made[0]], pods[0]: [made[0]], **dict.fromkeys(pods[1:], made)}, 60)
    assert [plugged(pod) for pod in pods[1:]] == before[1:]
    assert [call.command for call in fresh.plugins.calls()].count("DEL") == 1


@pytest.mark.promise(
    "API server: the kubeconfig leads to another cluster",
    "interfaces stay until the operator confirms that the node has moved",
)
@pytest.mark.attack
@pytest.mark.timeout(240)
def test_the_api_server_of_another_cluster_is_refused_until_this_node_has_moved_there(
    own_bed: Callable[..., Bed],
) -> None:
    bed = own_bed(env=PINGED, options={"resync-period": "1s"})
    kubeconfig, data = bed.workdir / "kubeconfig", bed.networks.bridge("data")
    pod = bed.attached(data)
    before = plugged(pod)
    with ApiServer(cluster="other") as other:
        other.write_kubeconfig(kubeconfig)
        bed.agent.reload()
        bed.agent.wait_for_log("the API server is of another cluster than this node's attachments", 60)
        since = time.monotonic()
        bed.agent.reload()
        eventually(lambda: other.requests.count("get", "namespaces", since) > 1, what="it to be asked again")
        assert other.requests.count("list", "pods") == 0
        assert plugged(pod) == before

        assert main(["forget", "--cluster", "--state-dir", str(bed.agent.state_dir)]) == 0
        eventually(lambda: not data.leases(), 60, "the pod that the new cluster does not have to be detached")
        assert plugged(pod) == {}
    bed.api.write_kubeconfig(kubeconfig)
    bed.agent.reload()
    bed.settles({pod: [data]}, 60)


# --- Events -------------------------------------------------------------------------------------------------------


def test_users_read_in_events_what_happened_to_their_pod(bed: Bed) -> None:
    data = bed.networks.bridge("data", "shop")
    pod = bed.node.pod("web", "shop", networks=["data"])
    bed.settles({pod: [data]})
    wait_for_event(bed.api, pod, "NetworkAttached", "network data", plugged(pod)[ifname(data)].addresses[0])
    pod.annotate([])
    wait_for_event(bed.api, pod, "NetworkDetached", "network data")
    (attached,) = (event for event in bed.api.events("shop", "web") if event["reason"] == "NetworkAttached")
    assert attached["type"] == "Normal"
    assert attached["source"] == {"component": "podagent", "host": bed.node.name}
    about = {key: attached["involvedObject"][key] for key in ("kind", "namespace", "name", "uid")}
    assert about == {"kind": "Pod", "namespace": "shop", "name": "web", "uid": pod.object_uid}


def test_without_the_permission_to_write_events_everything_else_works(bed: Bed) -> None:
    data = bed.networks.bridge("data")
    pod = bed.node.pod()
    bed.api.fail_next(1_000_000, 403, "/events")
    since = time.monotonic()
    for _ in range(2):
        pod.annotate(["data"])
        bed.settles({pod: [data]})
        pod.annotate([])
        bed.settles({pod: []})
    eventually(lambda: bed.api.requests.count("create", "events", since) == 4, what="four Events to be tried")
    assert bed.api.events("default", pod.name) == []
    assert bed.agent.log().count("Events cannot be written; let podagent create and patch events") == 1
    bed.settles({pod: []})
