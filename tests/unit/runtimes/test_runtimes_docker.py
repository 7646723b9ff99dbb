from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, Protocol, cast

import docker
import pytest
import requests

from podagent.act.ports import Hints
from podagent.errors import NetnsGone, RuntimeUnavailable, SandboxNotFound
from podagent.foreign import Json
from podagent.model import NetnsRef, PodKey, Sandbox
from podagent.runtimes.docker import DockerRuntime
from unit.kube.loopback import Answer, UnixServer, answer, dripping

POD = PodKey("shop", "web-0", "uid-1")
UID = "io.kubernetes.pod.uid"
POD_LABELS = {
    "io.kubernetes.pod.namespace": POD.namespace,
    "io.kubernetes.pod.name": POD.name,
    UID: POD.uid,
}
ENDPOINT = "unix:///run/docker.sock"


def sandbox(name: str = "s1", **fields: Any) -> Json:
    labels = {**POD_LABELS, "io.kubernetes.docker.type": "podsandbox"}
    usual = {"State": "running", "Created": 1, "HostConfig": {"NetworkMode": "none"}}
    return {"Id": name, "Labels": labels, **usual, **fields}


def inner(of: str) -> Json:
    """A container that runs in a sandbox."""
    labels = {**POD_LABELS, "io.kubernetes.docker.type": "container", "io.kubernetes.sandbox.id": of}
    return sandbox("c1", Labels=labels)


class Docker:
    """A daemon that is its own client, and the runtime that asks it.

    Attributes:
        listed: the containers.
        pids: of the containers; of several, the next one with each question, and the last one from then on.
        fails: raised by every question.
        streams: the events that the next clients get, or why they cannot be made.
        clients: how each was made.
        handler: the runtime of the containers.
        started: of the process that has a path, 5 by default; 0 if it has ended.
    """

    api_version = "1.41"

    def __init__(self) -> None:
        self.listed: list[Json] = [sandbox()]
        self.pids: dict[str, list[int]] = {"s1": [7]}
        self.fails: Exception | None = None
        self.streams: list[Iterator[Json] | Exception] = []
        self.clients: list[dict[str, Any]] = []
        self.inspected: list[str] = []
        self.filters: list[Json] = []
        self.started: dict[str, int] = {}
        self.closed = 0
        self.handler: Any = "runc"
        self.runtime = DockerRuntime(ENDPOINT, self.identify, connect=self.connect, retry_s=0)

    def find(self) -> Sandbox:
        return self.runtime.find_sandbox(POD)

    def connect(self, **options: Any) -> Docker:
        self.clients.append(options)
        if self.streams and isinstance(away := self.streams[0], Exception):
            del self.streams[0]
            raise away
        return self

    def containers(self, *, all: bool, filters: Json) -> list[Json]:  # noqa: A002 - as in docker
        self.filters.append(filters)
        if self.fails is not None:
            raise self.fails
        return self.listed

    def inspect_container(self, name: str) -> Json:
        self.inspected.append(name)
        pids = self.pids[name]
        return {"State": {"Pid": pids.pop(0) if len(pids) > 1 else pids[0]}, "HostConfig": {"Runtime": self.handler}}

    def events(self, *, filters: Json, decode: bool) -> Iterator[Json]:
        self.filters.append(filters)
        stream = self.streams.pop(0)
        assert not isinstance(stream, Exception)
        return stream

    def close(self) -> None:
        self.closed += 1

    def identify(self, path: str) -> NetnsRef:
        if self.started.get(path) == 0:
            raise NetnsGone(path)
        return NetnsRef(path, 100, self.started.get(path, 5))


@pytest.fixture
def daemon() -> Docker:
    return Docker()


def test_a_pod_is_asked_for_by_all_of_its_key(daemon: Docker) -> None:
    assert daemon.find() == Sandbox("s1", NetnsRef("/proc/7/ns/net", 100, 5), populated=False)
    assert daemon.filters == [{"label": [f"{key}={value}" for key, value in POD_LABELS.items()]}]
    assert daemon.clients == [{"base_url": ENDPOINT, "timeout": 20.0, "version": "auto"}]


def test_a_sandbox_with_a_container_of_its_own_is_populated(daemon: Docker) -> None:
    for name, populated in (("s1", True), ("s0", False)):
        daemon.listed = [inner(name), sandbox()]
        assert daemon.find().populated is populated


def test_of_several_sandboxes_the_newest_that_runs_counts(daemon: Docker) -> None:
    ended = sandbox("s3", Created=3, State="exited")
    odd: list[Any] = [None, [], "x", {7: 7}]
    daemon.listed = [sandbox("s1"), sandbox("s2", Created=2), ended, *(sandbox("x", Labels=labels) for labels in odd)]
    daemon.pids["s2"] = [8]
    assert daemon.find().id == "s2"


def test_a_sandbox_on_the_hosts_network_has_no_namespace(daemon: Docker) -> None:
    daemon.listed = [sandbox(HostConfig={"NetworkMode": "host"})]
    assert daemon.find().host_network
    assert daemon.inspected == []


@pytest.mark.parametrize(("handler", "guest"), [("kata-qemu", "Kata Containers"), ("runsc", "gVisor"), (None, "")])
def test_a_runtime_that_takes_the_interfaces_into_a_guest_is_named(daemon: Docker, handler: Any, guest: str) -> None:
    daemon.handler = handler
    assert daemon.find().guest == guest


def test_a_namespace_is_asked_for_once_and_forgotten_with_its_sandbox(daemon: Docker) -> None:
    assert daemon.find() == daemon.find()
    assert len(daemon.inspected) == 2  # before and after the namespace was identified, and only the first time
    daemon.listed = [sandbox(State="exited")]
    with pytest.raises(SandboxNotFound):
        daemon.find()
    daemon.listed = [sandbox()]
    daemon.find()
    assert len(daemon.inspected) == 4


@pytest.mark.parametrize("started", [0, 6], ids=["gone", "of another process"])
def test_a_known_namespace_that_is_no_longer_the_same_is_looked_up_again(daemon: Docker, started: int) -> None:
    daemon.find()
    daemon.started["/proc/7/ns/net"] = started
    daemon.pids["s1"] = [8]
    assert daemon.find().netns == NetnsRef("/proc/8/ns/net", 100, 5)


def test_of_more_than_a_thousand_known_namespaces_only_those_of_running_sandboxes_stay(daemon: Docker) -> None:
    for number in range(1001):
        daemon.listed, daemon.pids[f"s{number}"] = [sandbox(f"s{number}")], [1000 + number]
        daemon.find()
    daemon.started["/proc/1000/ns/net"] = 0
    daemon.listed, asked = [], len(daemon.inspected)
    with pytest.raises(SandboxNotFound):
        daemon.find()
    del daemon.started["/proc/1000/ns/net"]
    for number in (0, 1):
        daemon.listed = [sandbox(f"s{number}")]
        daemon.find()
    assert daemon.inspected[asked:] == ["s0", "s0"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"listed": [sandbox(State="exited"), inner("s1")]}, "no running sandbox of pod shop/web-0"),
        ({"pids": {"s1": [0]}}, "s1 is ending: its process has ended"),
        ({"pids": {"s1": [7, 8]}}, "s1 ended during the lookup"),
        ({"started": {"/proc/7/ns/net": 0}}, "s1 is ending"),
        ({"fails": docker.errors.NotFound("no such container")}, "ended during the lookup"),
    ],
)
def test_a_sandbox_that_does_not_run_or_ends_meanwhile_is_not_found(
    daemon: Docker, changes: dict[str, Any], reason: str
) -> None:
    vars(daemon).update(changes)
    with pytest.raises(SandboxNotFound, match=reason):
        daemon.find()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"fails": docker.errors.DockerException("broken")}, "DockerException: broken"),
        ({"fails": requests.ConnectionError("refused")}, "ConnectionError: refused"),
        ({"fails": OSError("gone")}, "OSError: gone"),
        ({"fails": ValueError("JSON")}, "ValueError: JSON"),
        ({"fails": RecursionError("deep")}, "RecursionError: deep"),
        ({"listed": None}, "TypeError"),
        ({"listed": ["s1"]}, "AttributeError"),
        ({"listed": [{}]}, "ValueError: 'Id' is missing"),
        *(
            ({"listed": [sandbox(name)]}, r"ValueError: '.* is not the ID")
            for name in ("", "../x", "\ud800", "x" * 129)
        ),
        ({"listed": [sandbox(HostConfig=None)]}, "ValueError: 'HostConfig' is missing"),
        ({"listed": [sandbox(Created=None), sandbox("s2")]}, "ValueError: 'Created' is missing"),
        ({"pids": {"s1": ["7"]}}, "ValueError: 'Pid' must be a number, not a string"),
    ],
)
def test_a_docker_without_a_usable_answer_is_reported_with_its_address(
    daemon: Docker, changes: dict[str, Any], reason: str
) -> None:
    vars(daemon).update(changes)
    with pytest.raises(RuntimeUnavailable, match=f"Docker at {ENDPOINT} does not answer: {reason}"):
        daemon.find()


@pytest.mark.parametrize(("status", "clients"), [(400, 2), (500, 1)])
def test_the_version_is_agreed_again_with_a_docker_that_refuses_it(daemon: Docker, status: int, clients: int) -> None:
    response = requests.Response()
    response.status_code = status
    daemon.fails = docker.errors.APIError("refused", response)
    with pytest.raises(RuntimeUnavailable):
        daemon.find()
    daemon.fails = None
    daemon.find()
    assert len(daemon.clients) == clients


EVENT: Json = {"Actor": {"Attributes": POD_LABELS}}
RECONNECTED = "reconnected"


def stream(*events: Json, fault: Exception | None = None) -> Iterator[Json]:
    """Events, and then the end of the connection."""
    yield from events
    if fault is not None:
        raise fault


class Follow(Protocol):
    def __call__(self, *streams: Iterator[Json] | Exception) -> list[PodKey | str]: ...


@pytest.fixture
def follow(daemon: Docker) -> Follow:
    """Follows these streams, or fails to, and returns what was heard until the last one has ended."""

    def follow(*streams: Iterator[Json] | Exception) -> list[PodKey | str]:
        heard: list[PodKey | str] = []
        stopped = threading.Event()

        def end() -> Iterator[Json]:
            stopped.set()
            yield from ()

        *first, last = streams
        assert not isinstance(last, Exception)
        daemon.streams = [*first, itertools.chain(last, end())]
        daemon.runtime.follow(Hints(heard.append, lambda: heard.append(RECONNECTED), list), stopped)
        return heard

    return follow


def test_the_pod_of_every_event_is_reported_however_long_there_is_none(daemon: Docker, follow: Follow) -> None:
    odd: tuple[Any, ...] = (
        {},
        [],
        None,
        "x",
        {**POD_LABELS, UID: 7},
        {**POD_LABELS, UID: "\ud800"},
        {**POD_LABELS, UID: "x" * 300},
    )
    events = ({"Actor": {"Attributes": labels}} for labels in odd)
    assert follow(stream(*events, {"Actor": None}, cast(Json, []), EVENT)) == [RECONNECTED, POD]
    assert daemon.filters[0]["label"] == ["io.kubernetes.docker.type=podsandbox"]
    assert daemon.clients[1] == {"base_url": ENDPOINT, "timeout": None, "version": "1.41"}
    assert daemon.closed == 1


def test_events_that_may_have_been_missed_are_reported_when_a_stream_ends(follow: Follow) -> None:
    assert follow(stream(EVENT), stream()) == [RECONNECTED, POD, RECONNECTED]


@pytest.mark.parametrize("fault", [requests.ConnectionError("refused"), ValueError("no JSON"), OSError("gone")])
def test_a_lost_docker_and_its_return_are_logged_once_each(
    follow: Follow, fault: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    away = docker.errors.DockerException("away")
    heard = follow(stream(fault=fault), away, away, stream(), away, away, stream())
    assert heard == [RECONNECTED] * 3
    lost, back = f"Docker at {ENDPOINT} does not answer, trying again: ", f"Docker at {ENDPOINT} answers again"
    assert caplog.messages == [f"{lost}{fault}", back, f"{lost}away", back]


@contextmanager
def daemon_answering(directory: Path, second: Answer) -> Iterator[DockerRuntime]:
    """The runtime of a daemon that answers one question properly, and the next one so."""
    path = directory / "docker.sock"
    with UnixServer(path) as server:
        server.answers.extend([answer(200, b'{"ApiVersion": "1.41"}'), second])
        yield DockerRuntime(f"unix://{path}", Docker().identify, timeout_s=0.3, retry_s=0)


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("begin", [b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n"])
def test_a_docker_whose_answer_drips_is_given_up_in_time(tmp_path: Path, begin: bytes) -> None:
    with daemon_answering(tmp_path, dripping(begin, b"x")) as runtime:
        begun = time.monotonic()
        with pytest.raises(RuntimeUnavailable, match=r"Read timed out|did not end"):
            runtime.find_sandbox(POD)
        assert time.monotonic() - begun < 5


@pytest.mark.parametrize("begin", [CHUNKED + b"1;", CHUNKED + b"9000\r\n{"])
def test_an_event_that_drips_counts_as_a_lost_docker(
    tmp_path: Path, begin: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    stopped, reconnected = threading.Event(), itertools.count()
    with daemon_answering(tmp_path, dripping(begin, b"x")) as runtime:
        runtime.follow(Hints(print, lambda: stopped.set() if next(reconnected) else None, list), stopped)
    assert "does not answer, trying again" in caplog.text


def test_the_end_of_following_does_not_wait_for_an_event(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    silent, stopped, reconnected = threading.Event(), threading.Event(), threading.Event()

    def silence(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(CHUNKED)
        silent.wait(20)

    with daemon_answering(tmp_path, silence) as runtime:
        hints = Hints(print, reconnected.set, list)
        thread = threading.Thread(target=runtime.follow, args=(hints, stopped), daemon=True)
        thread.start()
        assert reconnected.wait(10)
        stopped.set()
        thread.join(10)
        silent.set()
        assert not thread.is_alive()
    assert caplog.messages == []
