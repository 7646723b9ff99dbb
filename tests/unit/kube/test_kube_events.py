"""Events against a server in memory and a clock that the test turns."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from podagent.errors import ApiError
from podagent.kube.events import EventRecorder
from podagent.model import Pod, PodKey
from unit.kube.kube_script import TurningClock


class EventStore:
    """Keeps Events by path as the API server would; `refuses` is raised instead when set."""

    def __init__(self) -> None:
        self.events: dict[str, dict[str, Any]] = {}
        self.refuses: ApiError | None = None
        self.calls = 0
        self.on_call: Callable[[], None] = lambda: None

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        self._count()
        self.events[f"{path}/{body['metadata']['name']}"] = body
        return body

    def patch(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
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

    @property
    def counts(self) -> list[int]:
        return [event["count"] for event in self.events.values()]


class Desk:
    def __init__(self) -> None:
        self.store = EventStore()
        self.clock = TurningClock()
        self.recorder = EventRecorder(self.store, "node1", clock=self.clock, wall_clock=lambda: 1_700_000_000.0)

    def emit(self, name: str = "web", message: str = "attached", times: int = 1) -> None:
        for _ in range(times):
            pod = Pod(PodKey("default", name, "uid"), f"uid-of-{name}", {}, "Running")
            self.recorder.emit(pod, "Normal", "NetworkAttached", message)

    def write_all(self) -> None:
        while self.recorder.run_once(self.clock, timeout_s=0):
            pass


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_an_event_says_what_happened_to_which_pod_object(desk: Desk) -> None:
    desk.emit()
    desk.write_all()
    [(path, event)] = desk.store.events.items()
    assert path == f"/api/v1/namespaces/default/events/{event['metadata']['name']}"
    assert event["metadata"]["name"].startswith("web.")
    assert event["involvedObject"] == {
        "apiVersion": "v1",
        "kind": "Pod",
        "namespace": "default",
        "name": "web",
        "uid": "uid-of-web",
    }
    assert event["source"] == {"component": "podagent", "host": "node1"}
    assert event["firstTimestamp"] == event["lastTimestamp"] == "2023-11-14T22:13:20Z"


def test_the_same_said_again_is_counted_not_written_again(desk: Desk) -> None:
    desk.emit(times=3)
    desk.emit(message="another")
    desk.emit()
    desk.write_all()
    assert desk.store.counts == [4, 1]


def test_an_event_that_the_server_has_forgotten_is_written_again(desk: Desk) -> None:
    desk.emit()
    desk.write_all()
    desk.store.events.clear()
    desk.emit()
    desk.write_all()
    assert desk.store.counts == [1]


def test_one_pod_gets_25_at_once_then_one_in_five_minutes_and_others_their_own(desk: Desk) -> None:
    desk.emit(times=60)
    desk.emit(name="other")
    desk.write_all()
    assert desk.store.counts == [25, 1]
    desk.clock.now += 301
    desk.emit(times=5)
    desk.write_all()
    assert desk.store.counts == [26, 1]


def test_a_burst_over_many_pods_is_spread_out(desk: Desk) -> None:
    began = desk.clock.now
    for index in range(105):
        desk.emit(name=f"pod{index}")
    desk.write_all()
    assert len(desk.store.events) == 105
    assert desk.clock.now - began == pytest.approx(100 / 5, abs=0.1)


def test_emitting_never_waits_and_a_flood_is_bounded(desk: Desk) -> None:
    for index in range(5000):
        desk.emit(name=f"pod{index}")
    desk.write_all()
    assert 100 < len(desk.store.events) <= 512


def test_a_message_is_cut_to_what_the_server_takes_without_breaking_a_character(desk: Desk) -> None:
    desk.emit(message="a" + "é" * 1000)
    desk.emit(name="other", message="lone \ud800 surrogate")
    desk.write_all()
    messages = [event["message"] for event in desk.store.events.values()]
    assert messages == ["a" + "é" * 511, "lone ? surrogate"]


def test_a_pod_with_the_longest_name_gets_an_event_of_a_legal_name(desk: Desk) -> None:
    desk.emit(name="a" * 230 + "." + "b" * 22)
    desk.emit(name="a" * 235 + "-" + "b" * 17)
    desk.write_all()
    names = [event["metadata"]["name"] for event in desk.store.events.values()]
    assert len(names) == 2
    for name in names:
        assert len(name) <= 253
        assert ".." not in name
        assert "-." not in name


@pytest.mark.parametrize("status", [0, 401, 403, 409, 500])
def test_an_event_that_cannot_be_written_is_dropped_and_not_tried_again(desk: Desk, status: int) -> None:
    desk.store.refuses = ApiError("refused", status)
    desk.emit()
    desk.write_all()
    desk.store.refuses = None
    desk.write_all()
    assert (desk.store.calls, desk.store.events) == (1, {})
    desk.emit()
    desk.write_all()
    assert desk.store.counts == [1]


def test_a_missing_permission_is_said_once(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    desk.store.refuses = ApiError("403 events is forbidden", 403)
    for index in range(5):
        desk.emit(name=f"pod{index}")
    desk.write_all()
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert "allow this user to create and patch events (RBAC)" in record.getMessage()


def test_a_namespace_being_deleted_is_not_taken_for_a_missing_permission(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    reason = "unable to create new content in namespace default because it is being terminated"
    desk.store.refuses = ApiError(f"403 {reason}", 403)
    desk.emit()
    desk.write_all()
    assert caplog.records == []


def test_the_recorder_writes_until_it_is_stopped_and_drops_what_is_waiting_then(desk: Desk) -> None:
    desk.emit(times=2)
    desk.store.on_call = desk.clock.set
    desk.recorder.run(desk.clock)
    assert desk.store.counts == [1]


def test_a_stop_while_the_turn_of_an_event_is_awaited_drops_it(desk: Desk) -> None:
    desk.clock.set()
    for index in range(6):
        desk.emit(name=f"pod{index}")
    desk.write_all()
    assert desk.store.counts == [1] * 5


def test_only_so_many_events_are_remembered_for_counting(desk: Desk) -> None:
    for index in range(1025):
        desk.emit(name=f"pod{index}")
        desk.write_all()
    desk.emit(name="pod0")
    desk.emit(name="pod1024")
    desk.write_all()
    assert sorted(desk.store.counts) == [1] * 1025 + [2], "pod0 is forgotten, pod1024 is not"


def test_a_repetition_that_is_refused_is_dropped_and_not_counted(desk: Desk) -> None:
    desk.emit()
    desk.write_all()
    desk.store.refuses = ApiError("busy", 429)
    desk.emit()
    desk.write_all()
    desk.store.refuses = None
    desk.emit()
    desk.write_all()
    assert desk.store.counts == [2]
