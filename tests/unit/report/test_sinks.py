"""What users read: one line for each thing that happened, once, with its fields, and an Event where it is worth one."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from podagent.act.outcomes import Outcome, PodState, Result
from podagent.errors import AnnotationError, NotUndone, PluginError, PodNotReady, RuntimeUnavailable, SandboxNotFound
from podagent.messages import Message
from podagent.model import Operation, Pod
from podagent.report.events import PodEvents
from podagent.report.lines import JournalLines
from unit.factory import attachment, pod, record

POD = pod()
RED = attachment("red")
ATTACHED = Outcome(POD.key, POD, Operation.ATTACH, Result.ATTACHED, RED, record("red"), seconds=0.01234)
DETACHED = Outcome(POD.key, POD, Operation.DETACH, Result.DETACHED, RED, record("red"), seconds=0.002)
FAILED = Outcome(POD.key, POD, Operation.ATTACH, Result.FAILED, RED, error=PluginError("bridge", "no such bridge", 7))
WHO = {"POD": "web", "POD_NAMESPACE": "default", "POD_UID": POD.key.uid}
WHAT = WHO | {"NETWORK": "red", "IFNAME": RED.ifname}


class Events:
    """Both sinks, and the Events that come out."""

    def __init__(self) -> None:
        self.emitted: list[tuple[str, str, str]] = []
        self._sinks = (JournalLines(), PodEvents(self))

    def emit(self, pod: Pod, event_type: str, reason: str, message: str) -> None:
        assert pod == POD
        self.emitted.append((event_type, reason, message))

    def tell(self, *outcomes: Outcome) -> None:
        for outcome in outcomes:
            for sink in self._sinks:
                sink.told(outcome)

    def settle(self, state: PodState) -> None:
        for sink in self._sinks:
            sink.settled(POD.key, state)


@pytest.fixture
def events() -> Events:
    return Events()


class Lines(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def lines() -> Iterator[list[logging.LogRecord]]:
    logger, handler = logging.getLogger("podagent"), Lines()
    level = logger.level
    logger.setLevel(logging.DEBUG)
    logger.addHandler(handler)
    yield handler.records
    logger.removeHandler(handler)
    logger.setLevel(level)
    assert all("\n" not in line.getMessage() for line in handler.records)


def fields(line: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in vars(line).items() if name.isupper()}


def test_an_attach_is_one_line_with_its_facts_and_an_event(events: Events, lines: list[logging.LogRecord]) -> None:
    events.tell(ATTACHED)
    (line,) = lines
    assert line.levelno == logging.INFO
    assert line.getMessage() == f"attached {RED.ifname} (network red, 10.0.0.2/24) to pod default/web in 12 ms"
    assert fields(line) == WHAT | {"RESULT": "attached", "CNI_COMMAND": "ADD", "DURATION_MS": "12.3"}
    assert events.emitted == [("Normal", "NetworkAttached", f"attached {RED.ifname} (network red, 10.0.0.2/24)")]


def test_an_attach_without_addresses_says_so(events: Events, lines: list[logging.LogRecord]) -> None:
    events.tell(ATTACHED._replace(record=record("red", result={})))
    assert "no address" in lines[0].getMessage()


def test_adopting_is_a_line_without_a_command_or_an_event(events: Events, lines: list[logging.LogRecord]) -> None:
    events.tell(ATTACHED._replace(result=Result.ADOPTED))
    assert lines[0].getMessage() == f"adopted {RED.ifname} (network red) of pod default/web: it was there already"
    assert fields(lines[0]) == WHAT | {"RESULT": "adopted"}
    assert events.emitted == []


def test_taking_over_is_a_line_that_names_the_former_agent(events: Events, lines: list[logging.LogRecord]) -> None:
    events.tell(Outcome(POD.key, POD, Operation.TAKE_OVER, Result.INHERITED, RED, record("red")))
    assert lines[0].getMessage() == (
        f"took over {RED.ifname} (network red) of pod default/web from the former podagent"
    )
    assert fields(lines[0]) == WHAT | {"RESULT": "inherited"} | Message.INHERITED.field


def test_a_detach_is_one_line_and_an_event_while_the_pod_exists(events: Events, lines: list[logging.LogRecord]) -> None:
    events.tell(DETACHED, DETACHED._replace(pod=None))
    assert [line.getMessage() for line in lines] == [
        f"detached {RED.ifname} (network red) from pod default/web in 2 ms"
    ] * 2
    assert fields(lines[1]) == WHAT | {"RESULT": "detached", "CNI_COMMAND": "DEL", "DURATION_MS": "2.0"}
    assert events.emitted == [("Normal", "NetworkDetached", f"detached {RED.ifname} (network red)")]


def test_every_failed_try_is_a_line_but_only_news_an_event(events: Events, lines: list[logging.LogRecord]) -> None:
    events.tell(*(FAILED._replace(retry_in=seconds, news=seconds == 1) for seconds in (1.0, 2.0, 4.0)))
    assert [line.levelno for line in lines] == [logging.ERROR] * 3
    assert lines[2].getMessage() == (
        f"attaching network red as {RED.ifname} to pod default/web failed, next try in 4 s:"
        " CNI plugin bridge: no such bridge [code 7]"
    )
    assert fields(lines[0]) == WHAT | {"RESULT": "failed", "CNI_COMMAND": "ADD"} | Message.ATTACH_FAILED.field
    ((event_type, reason, message),) = events.emitted
    assert (event_type, reason) == ("Warning", "NetworkAttachFailed")
    assert "no such bridge" in message


def test_failures_of_detaching_are_told_alike(events: Events, lines: list[logging.LogRecord]) -> None:
    failed = FAILED._replace(operation=Operation.DETACH, record=record("red"), retry_in=1.0)
    events.tell(failed, failed._replace(pod=None))
    assert f"detaching {RED.ifname} (network red) from pod default/web failed" in lines[0].getMessage()
    assert fields(lines[0]) == WHAT | {"RESULT": "failed", "CNI_COMMAND": "DEL"} | Message.DETACH_FAILED.field
    assert [(kind, reason) for kind, reason, _ in events.emitted] == [("Warning", "NetworkDetachFailed")]


def test_a_failure_that_could_not_be_undone_tells_both_reasons(events: Events, lines: list[logging.LogRecord]) -> None:
    error = PluginError("bridge", "route failed")
    error.__cause__ = NotUndone("undoing it failed too and will be tried again: no answer")
    events.tell(FAILED._replace(error=error))
    assert (
        lines[0]
        .getMessage()
        .endswith("route failed [code 999]; undoing it failed too and will be tried again: no answer")
    )
    assert "no answer" in events.emitted[0][2]


def test_a_bug_is_told_with_where_it_is(events: Events, lines: list[logging.LogRecord]) -> None:
    events.tell(FAILED._replace(error=ZeroDivisionError("x")), FAILED)
    assert [bool(line.exc_info) for line in lines] == [True, False]
    assert "internal error: ZeroDivisionError" in events.emitted[0][2]


def test_a_fault_of_an_annotation_is_a_line_and_an_event(events: Events, lines: list[logging.LogRecord]) -> None:
    events.tell(Outcome(POD.key, POD, Operation.READ, Result.INVALID, error=AnnotationError("one")))
    assert lines[0].getMessage() == "pod default/web: one"
    assert fields(lines[0]) == WHO | {"RESULT": "invalid"} | Message.ANNOTATION_INVALID.field
    assert events.emitted == [("Warning", "NetworkAnnotationInvalid", "one")]


@pytest.mark.parametrize(
    ("reason", "level"),
    [
        (SandboxNotFound("none"), logging.DEBUG),
        (PodNotReady("not yet"), logging.DEBUG),
        (RuntimeUnavailable("down"), logging.WARNING),
    ],
)
def test_waiting_is_told_once_and_is_no_failure(
    events: Events, lines: list[logging.LogRecord], reason: Exception, level: int
) -> None:
    waiting = Outcome(POD.key, POD, Operation.FIND, Result.WAITING, error=reason, retry_in=1.0)
    events.tell(waiting, waiting._replace(news=False))
    assert [line.levelno for line in lines] == [level]
    assert fields(lines[0]) == WHO | {"RESULT": "waiting"} | Message.SANDBOX_MISSING.field
    assert events.emitted == []


def test_drift_is_told_with_its_interface(events: Events, lines: list[logging.LogRecord]) -> None:
    events.tell(Outcome(POD.key, POD, Operation.VERIFY, Result.DRIFTED, RED, record("red")))
    message = f"interface {RED.ifname} vanished from the pod and is attached again"
    assert lines[0].getMessage() == f"pod default/web: {message}"
    assert fields(lines[0]) == WHAT | {"RESULT": "drifted"} | Message.DRIFTED.field
    assert events.emitted == [("Warning", "NetworkDrifted", message)]


@pytest.mark.parametrize(("look_in", "words"), [(None, "no further look"), (2.5, "next look in 2.5 s")])
def test_the_end_of_a_pass_is_a_line_for_those_who_debug(
    events: Events, lines: list[logging.LogRecord], look_in: float | None, words: str
) -> None:
    events.settle(PodState(POD, (record("red"),), look_in))
    assert [(line.levelno, line.getMessage()) for line in lines] == [
        (logging.DEBUG, f"pod default/web: 1 interfaces recorded, {words}")
    ]
    assert events.emitted == []


@pytest.mark.parametrize("result", Result)
def test_every_result_has_its_words(events: Events, lines: list[logging.LogRecord], result: Result) -> None:
    events.tell(ATTACHED._replace(result=result, error=RuntimeUnavailable("down")))
    assert len(lines) == 1
