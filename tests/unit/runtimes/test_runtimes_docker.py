from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import docker
import pytest
import requests

from podagent.errors import NetnsGone, RuntimeUnavailable, SandboxNotFound
from podagent.foreign import Json
from podagent.model import NetnsRef, PodKey, Sandbox
from podagent.runtimes.docker import DockerRuntime

POD = PodKey("shop", "web-0", "uid-1")
POD_LABELS = {
    "io.kubernetes.pod.namespace": POD.namespace,
    "io.kubernetes.pod.name": POD.name,
    "io.kubernetes.pod.uid": POD.uid,
}
ENDPOINT = "unix:///run/docker.sock"


def container(name: str, labels: Json | None, **fields: Any) -> Json:
    usual = {"State": "running", "Created": 1, "HostConfig": {"NetworkMode": "none"}}
    return {"Id": name, "Labels": labels, **usual, **fields}


def sandbox(name: str = "s1", **fields: Any) -> Json:
    return container(name, {**POD_LABELS, "io.kubernetes.docker.type": "podsandbox"}, **fields)


def inner(of: str) -> Json:
    """A container that runs in a sandbox."""
    return container("c1", {**POD_LABELS, "io.kubernetes.docker.type": "container", "io.kubernetes.sandbox.id": of})


class Docker:
    """What the daemon knows. It is its own client, and notes how each was made.

    Attributes:
        containers_there: what it lists.
        pids: of the containers; of several, the next one with each question, and the last one from then on.
        fails: raised by the next question.
        streams: what the next clients get as events.
    """

    api_version = "1.41"

    def __init__(self) -> None:
        self.containers_there: list[Json] = [sandbox()]
        self.pids: dict[str, list[int]] = {"s1": [7]}
        self.fails: Exception | None = None
        self.streams: list[Iterator[Json]] = []
        self.clients: list[dict[str, Any]] = []
        self.inspected: list[str] = []
        self.filters: list[Json] = []
        self.started: dict[str, int] = {}
        self.closed = 0

    def connect(self, **options: Any) -> Docker:
        self.clients.append(options)
        return self

    def containers(self, *, all: bool, filters: Json) -> list[Json]:  # noqa: A002 - as in docker
        self.filters.append(filters)
        if self.fails is not None:
            raise self.fails
        return self.containers_there

    def inspect_container(self, name: str) -> Json:
        self.inspected.append(name)
        pids = self.pids[name]
        return {"State": {"Pid": pids.pop(0) if len(pids) > 1 else pids[0]}}

    def events(self, *, filters: Json, decode: bool) -> Iterator[Json]:
        self.filters.append(filters)
        if self.fails is not None:
            raise self.fails
        return self.streams.pop(0)

    def close(self) -> None:
        self.closed += 1

    def identify(self, path: str) -> NetnsRef:
        """The process that has the path, as the kernel knows it."""
        if self.started.get(path) == 0:
            raise NetnsGone(path)
        return NetnsRef(path, 100, self.started.get(path, 5))


@pytest.fixture
def daemon() -> Docker:
    return Docker()


@pytest.fixture
def runtime(daemon: Docker) -> DockerRuntime:
    return DockerRuntime(ENDPOINT, daemon.identify, connect=daemon.connect, retry_s=0.01)


def test_a_pod_is_asked_for_by_all_of_its_key(daemon: Docker, runtime: DockerRuntime) -> None:
    assert runtime.find_sandbox(POD) == Sandbox("s1", NetnsRef("/proc/7/ns/net", 100, 5), populated=False)
    assert daemon.filters == [{"label": [f"{key}={value}" for key, value in POD_LABELS.items()]}]
    assert daemon.clients == [{"base_url": ENDPOINT, "timeout": 20.0, "version": "auto"}]


def test_a_sandbox_with_a_container_of_its_own_is_populated(daemon: Docker, runtime: DockerRuntime) -> None:
    daemon.containers_there = [inner("s1"), sandbox()]
    assert runtime.find_sandbox(POD).populated
    daemon.containers_there = [inner("s0"), sandbox()]
    assert not runtime.find_sandbox(POD).populated


def test_of_several_sandboxes_the_newest_that_runs_counts(daemon: Docker, runtime: DockerRuntime) -> None:
    ended = sandbox("s3", Created=3, State="exited")
    daemon.containers_there = [sandbox("s1"), sandbox("s2", Created=2), ended, container("x", None)]
    daemon.pids["s2"] = [8]
    assert runtime.find_sandbox(POD).id == "s2"


def test_a_sandbox_on_the_hosts_network_has_no_namespace(daemon: Docker, runtime: DockerRuntime) -> None:
    daemon.containers_there = [sandbox(HostConfig={"NetworkMode": "host"})]
    assert runtime.find_sandbox(POD).host_network
    assert daemon.inspected == []


def test_a_pod_without_a_running_sandbox_has_none(daemon: Docker, runtime: DockerRuntime) -> None:
    daemon.containers_there = [sandbox(State="exited"), inner("s1")]
    with pytest.raises(SandboxNotFound, match="no running sandbox of pod shop/web-0"):
        runtime.find_sandbox(POD)


def test_a_namespace_that_is_known_is_not_asked_for_again(daemon: Docker, runtime: DockerRuntime) -> None:
    assert runtime.find_sandbox(POD) == runtime.find_sandbox(POD)
    assert len(daemon.inspected) == 2  # before and after the namespace was identified, and only the first time


@pytest.mark.parametrize("started", [0, 6], ids=["gone", "of another process"])
def test_a_known_namespace_that_is_no_longer_the_same_is_looked_up_again(
    daemon: Docker, runtime: DockerRuntime, started: int
) -> None:
    runtime.find_sandbox(POD)
    daemon.started["/proc/7/ns/net"] = started
    daemon.pids["s1"] = [8]
    netns = runtime.find_sandbox(POD).netns
    assert netns is not None
    assert netns.path == "/proc/8/ns/net"


def test_what_was_known_of_a_sandbox_is_forgotten_with_it(daemon: Docker, runtime: DockerRuntime) -> None:
    runtime.find_sandbox(POD)
    daemon.containers_there = [sandbox(State="exited")]
    with pytest.raises(SandboxNotFound):
        runtime.find_sandbox(POD)
    daemon.containers_there = [sandbox()]
    runtime.find_sandbox(POD)
    assert len(daemon.inspected) == 4


def test_what_is_known_of_more_than_a_thousand_sandboxes_is_reduced_to_those_that_run(
    daemon: Docker, runtime: DockerRuntime
) -> None:
    for number in range(1001):
        daemon.containers_there, daemon.pids[f"s{number}"] = [sandbox(f"s{number}")], [1000 + number]
        runtime.find_sandbox(POD)
    daemon.started["/proc/1000/ns/net"] = 0
    daemon.containers_there, asked = [], len(daemon.inspected)
    with pytest.raises(SandboxNotFound):
        runtime.find_sandbox(POD)
    del daemon.started["/proc/1000/ns/net"]
    for number in (0, 1):
        daemon.containers_there = [sandbox(f"s{number}")]
        runtime.find_sandbox(POD)
    assert daemon.inspected[asked:] == ["s0", "s0"]


@pytest.mark.parametrize("pids", [[0], [7, 8]], ids=["has ended", "ends meanwhile"])
def test_a_sandbox_that_ends_while_it_is_looked_at_is_none(
    daemon: Docker, runtime: DockerRuntime, pids: list[int]
) -> None:
    daemon.pids["s1"] = pids
    with pytest.raises(SandboxNotFound, match=r"s1 (is ending|ended)"):
        runtime.find_sandbox(POD)


def test_a_sandbox_whose_process_has_gone_is_none(daemon: Docker, runtime: DockerRuntime) -> None:
    daemon.started["/proc/7/ns/net"] = 0
    with pytest.raises(SandboxNotFound, match="is ending"):
        runtime.find_sandbox(POD)


def test_a_container_that_docker_no_longer_finds_is_none(daemon: Docker, runtime: DockerRuntime) -> None:
    daemon.fails = docker.errors.NotFound("no such container")
    with pytest.raises(SandboxNotFound, match="ended while it was looked at"):
        runtime.find_sandbox(POD)


@pytest.mark.parametrize(
    "fault",
    [docker.errors.DockerException("broken"), requests.ConnectionError("refused"), OSError("gone"), ValueError("JSON")],
)
def test_a_docker_that_does_not_answer_is_told_with_its_address(
    daemon: Docker, runtime: DockerRuntime, fault: Exception
) -> None:
    daemon.fails = fault
    with pytest.raises(RuntimeUnavailable, match=f"Docker at {ENDPOINT} does not answer: {type(fault).__name__}"):
        runtime.find_sandbox(POD)


@pytest.mark.parametrize("listed", [[{}], [sandbox(HostConfig=None)], [sandbox(Created=None), sandbox("s2")]])
def test_an_answer_that_makes_no_sense_is_no_answer(daemon: Docker, runtime: DockerRuntime, listed: list[Json]) -> None:
    daemon.containers_there = listed
    with pytest.raises(RuntimeUnavailable):
        runtime.find_sandbox(POD)


def api_error(status: int) -> docker.errors.APIError:
    response = requests.Response()
    response.status_code = status
    return docker.errors.APIError("refused", response)


@pytest.mark.parametrize(("status", "clients"), [(400, 2), (500, 1)])
def test_the_version_is_agreed_again_with_a_docker_that_refuses_it(
    daemon: Docker, runtime: DockerRuntime, status: int, clients: int
) -> None:
    daemon.fails = api_error(status)
    with pytest.raises(RuntimeUnavailable):
        runtime.find_sandbox(POD)
    daemon.fails = None
    runtime.find_sandbox(POD)
    assert len(daemon.clients) == clients


# --- events ---------------------------------------------------------------------------------------------------------


class Follower:
    """Follows the events of a daemon until a stream calls `stop`."""

    def __init__(self, runtime: DockerRuntime) -> None:
        self._runtime = runtime
        self.heard: list[PodKey | str] = []
        self.stopped = threading.Event()

    def run(self) -> list[PodKey | str]:
        self._runtime.follow(self.heard.append, lambda: self.heard.append("reconnected"), self.stopped)
        return self.heard

    def last(self, *events: Json) -> Iterator[Json]:
        yield from events
        self.stopped.set()


@pytest.fixture
def follower(runtime: DockerRuntime) -> Follower:
    return Follower(runtime)


def broken(*events: Any, fault: Exception | None = None) -> Iterator[Json]:
    yield from events
    if fault is not None:
        raise fault


def event(**labels: str) -> Json:
    return {"Actor": {"Attributes": labels}}


def test_the_pod_of_every_event_is_told(daemon: Docker, follower: Follower) -> None:
    daemon.streams = [follower.last(event(**POD_LABELS), event())]
    assert follower.run() == ["reconnected", POD, PodKey("", "", "")]
    assert daemon.filters[0]["label"] == ["io.kubernetes.docker.type=podsandbox"]


def test_silence_is_no_fault_of_the_stream(daemon: Docker, follower: Follower) -> None:
    daemon.streams = [follower.last()]
    follower.run()
    assert daemon.clients[1] == {"base_url": ENDPOINT, "timeout": None, "version": "1.41"}
    assert daemon.closed == 1


def test_what_may_have_been_missed_is_told_when_a_stream_ends(daemon: Docker, follower: Follower) -> None:
    daemon.streams = [broken(event(**POD_LABELS)), follower.last()]
    assert follower.run() == ["reconnected", POD, "reconnected"]


@pytest.mark.parametrize("fault", [requests.ConnectionError("refused"), ValueError("no JSON"), OSError("gone")])
def test_a_lost_docker_and_its_return_are_told(
    daemon: Docker, follower: Follower, fault: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    daemon.streams = [broken(fault=fault), broken(fault=fault), follower.last()]
    assert follower.run() == ["reconnected"] * 3
    said = [record.getMessage() for record in caplog.records]
    assert said.count(f"Docker at {ENDPOINT} does not answer, trying again: {fault}") == 2
    assert said.count(f"Docker at {ENDPOINT} answers again") == 2


def test_a_docker_that_stays_away_is_told_once(
    daemon: Docker, follower: Follower, caplog: pytest.LogCaptureFixture
) -> None:
    attempts: list[int] = []

    def refuse(**options: Any) -> Docker:
        attempts.append(1)
        if len(attempts) == 3:
            follower.stopped.set()
        raise docker.errors.DockerException("refused")

    runtime = DockerRuntime(ENDPOINT, daemon.identify, connect=refuse, retry_s=0)
    runtime.follow(follower.heard.append, lambda: None, follower.stopped)
    assert len(attempts) == 3
    assert [record.getMessage() for record in caplog.records] == [
        f"Docker at {ENDPOINT} does not answer, trying again: refused"
    ]


def test_an_event_that_makes_no_sense_costs_the_stream(daemon: Docker, follower: Follower) -> None:
    daemon.streams = [broken({"Actor": None}), follower.last(event(**POD_LABELS))]
    assert follower.run() == ["reconnected", "reconnected", POD]
