"""Events against a server in memory and a clock that the test turns."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

import pytest

from podagent.decide.budget import Budgets
from podagent.errors import ApiError
from podagent.foreign import Json
from podagent.kube.events import EventRecorder
from podagent.model import Pod, PodKey
from unit.kube.kube_script import TurningClock


class Desk:
    """A recorder, and the server that keeps its Events by path; `refuses` is raised instead when set."""

    def __init__(self) -> None:
        self.events: dict[str, Json] = {}
        self.refuses: ApiError | None = None
        self.calls = 0
        self.on_call: Callable[[], None] = lambda: None
        self.clock = TurningClock()
        self.recorder = EventRecorder(self, "node1", clock=self.clock, wall_clock=lambda: 1_700_000_000.0)

    def post(self, path: str, body: Json) -> Json:
        self._count()
        self.events[f"{path}/{body['metadata']['name']}"] = body
        return body

    def patch(self, path: str, body: Json) -> Json:
        self._count()
        if path not in self.events:
            raise ApiError("not found", 404)
        self.events[path].update(body)
        return self.events[path]

    def _count(self) -> None:
        self.calls += 1
        self.on_call()
        if self.refuses:
            raise self.refuses

    def emit(self, *names: str, message: str = "attached", namespace: str = "default") -> None:
        for name in names or ["web"]:
            pod = Pod(PodKey(namespace, name, "uid"), f"uid-of-{name}", {}, "Running")
            self.recorder.emit(pod, "Normal", "NetworkAttached", message)

    def write(self, *names: str, message: str = "attached") -> list[int]:
        """Emits, and writes all that waits; how often each Event on the server was counted."""
        self.emit(*names, message=message)
        while self.recorder.run_once(self.clock, timeout_s=0):
            pass
        return [event["count"] for event in self.events.values()]


@pytest.fixture
def desk() -> Desk:
    return Desk()


def pods(numbers: Iterable[int]) -> list[str]:
    return [f"pod{number}" for number in numbers]


def test_an_event_names_the_pod_object_and_what_happened_to_it(desk: Desk) -> None:
    desk.write()
    [(path, event)] = desk.events.items()
    name = event["metadata"]["name"]
    assert path == f"/api/v1/namespaces/default/events/{name}"
    assert name.startswith("web.")
    pod = {"apiVersion": "v1", "kind": "Pod", "namespace": "default", "name": "web", "uid": "uid-of-web"}
    assert event["involvedObject"] == pod
    assert (event["type"], event["reason"], event["message"]) == ("Normal", "NetworkAttached", "attached")
    assert event["source"] == {"component": "podagent", "host": "node1"}
    assert event["firstTimestamp"] == event["lastTimestamp"] == "2023-11-14T22:13:20Z"


def test_a_repetition_is_counted_unless_the_server_has_forgotten_the_event(desk: Desk) -> None:
    desk.emit("web", "web", "web")
    desk.emit(message="another")
    assert desk.write() == [4, 1]
    desk.events.clear()
    assert desk.write() == [1]


def test_one_pod_gets_25_at_once_then_one_in_five_minutes_and_others_their_own(desk: Desk) -> None:
    assert desk.write(*["web"] * 60, "other") == [25, 1]
    desk.clock.now += 301
    assert desk.write(*["web"] * 5) == [26, 1]
    desk.clock.now += 1e6
    assert desk.write(*["web"] * 60) == [51, 1], "nothing piles up beyond the burst"


def test_a_burst_over_many_pods_is_spread_out(desk: Desk) -> None:
    began = desk.clock.now
    assert desk.write(*pods(range(105))) == [1] * 105
    assert desk.clock.now - began == pytest.approx(100 / 5, abs=0.1)


def test_emitting_never_waits_and_a_flood_is_bounded(desk: Desk) -> None:
    assert 100 < len(desk.write(*pods(range(5000)))) <= 512


def test_a_name_and_a_message_are_cut_to_what_the_server_takes_without_breaking_a_character(desk: Desk) -> None:
    desk.write("a" * 230 + "." + "b" * 22, message="a" + "é" * 1000)
    desk.write("a" * 235 + "-" + "b" * 17, message="lone \ud800 surrogate")
    names = [event["metadata"]["name"] for event in desk.events.values()]
    assert [event["message"] for event in desk.events.values()] == ["a" + "é" * 511, "lone ? surrogate"]
    assert all(len(name) <= 253 and ".." not in name and "-." not in name for name in names)


@pytest.mark.parametrize("written_before", [False, True])
@pytest.mark.parametrize("status", [0, 401, 403, 409, 429, 500])
def test_an_event_that_is_refused_is_dropped_and_not_counted(desk: Desk, status: int, written_before: bool) -> None:
    if written_before:
        desk.write()
    desk.refuses = ApiError("refused", status)
    desk.write()
    desk.refuses = None
    assert desk.write() == [1 + written_before]
    assert desk.calls == 2 + written_before


def test_a_missing_permission_is_reported_once_and_is_not_that_of_a_namespace_being_deleted(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    desk.refuses = ApiError("403 namespace default because it is being terminated", 403)
    desk.write()
    assert caplog.records == []
    desk.refuses = ApiError("403 events is forbidden", 403)
    desk.write(*pods(range(5)))
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert "let podagent create and patch events: apply podagent-serviceaccount-and-rbac.yaml" in record.getMessage()


def test_the_recorder_writes_until_it_is_stopped_and_drops_what_is_waiting_then(desk: Desk) -> None:
    desk.emit("web", "other")
    desk.on_call = desk.clock.set
    desk.recorder.run(desk.clock)
    assert len(desk.events) == 1


def test_a_stop_while_the_turn_of_an_event_is_awaited_drops_it(desk: Desk) -> None:
    desk.clock.set()
    assert desk.write(*pods(range(6))) == [1] * 5


def test_only_so_many_events_and_budgets_are_remembered(desk: Desk) -> None:
    for first in range(0, 1025, 205):
        desk.write(*pods(range(first, first + 205)))
        desk.clock.now += 300  # the namespace's budget is full again
    assert sorted(desk.write("pod0", "pod1024")) == [1] * 1025 + [2], "pod0 is forgotten, pod1024 is not"
    budgets = Budgets(1, 1 / 300, lambda: 0.0, most=2)
    assert [budgets.allows(key) for key in "aabca"] == [True, False, True, True, True]


def test_a_flood_of_one_namespace_neither_displaces_nor_delays_the_event_of_another(desk: Desk) -> None:
    desk.emit(*pods(range(600)))
    desk.emit("victim", namespace="quiet")
    for _ in range(2):
        desk.recorder.run_once(desk.clock, timeout_s=0)
    assert [event["involvedObject"]["namespace"] for event in desk.events.values()] == ["default", "quiet"]


def test_a_namespace_has_a_quota_that_refills(desk: Desk) -> None:
    desk.write(*pods(range(290)))
    written = len(desk.write(*pods(range(290, 700))))
    assert 300 <= written < 500
    desk.clock.now += 300
    assert len(desk.write("late")) == written + 1
