"""What users read: one line for each thing that happened, once, with its fields, and an Event where it is worth one."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from factory import attachment, pod, record

from podagent.errors import PluginError, PodNotReady, RuntimeUnavailable, SandboxNotFound
from podagent.messages import Message
from podagent.model import Pod
from podagent.report.reporter import Reporter

POD = pod()
UNKNOWN = pod(uid="unknown")
RED = attachment("red")


class Recorder:
    """Keeps the Events it is told."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str, str]] = []

    def emit(self, pod: Pod, event_type: str, reason: str, message: str) -> None:
        assert pod == POD
        self.events.append((event_type, reason, message))


@pytest.fixture
def events() -> Recorder:
    return Recorder()


@pytest.fixture
def reporter(events: Recorder) -> Reporter:
    return Reporter(events)


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


WHO = {"POD": "web", "POD_NAMESPACE": "default", "POD_UID": POD.key.uid}
WHAT = WHO | {"NETWORK": "red", "IFNAME": RED.ifname}


def test_an_attach_is_one_line_with_its_facts_and_an_event(
    reporter: Reporter, events: Recorder, lines: list[logging.LogRecord]
) -> None:
    reporter.attached(POD, record("red"), 0.01234)
    (line,) = lines
    assert line.levelno == logging.INFO
    assert line.getMessage() == f"attached {RED.ifname} (network red, 10.0.0.2/24) to pod default/web in 12 ms"
    assert fields(line) == WHAT | {"RESULT": "attached", "CNI_COMMAND": "ADD", "DURATION_MS": "12.3"}
    assert events.events == [("Normal", "NetworkAttached", f"attached {RED.ifname} (network red, 10.0.0.2/24)")]


def test_an_attach_without_addresses_says_so(reporter: Reporter, lines: list[logging.LogRecord]) -> None:
    reporter.attached(POD, record("red", result={}), 1)
    assert "no address" in lines[0].getMessage()


def test_adopting_is_a_line_without_a_command_or_an_event(
    reporter: Reporter, events: Recorder, lines: list[logging.LogRecord]
) -> None:
    reporter.attached(POD, record("red", adopted=True, result=None), 0.5)
    assert fields(lines[0]) == WHAT | {"RESULT": "adopted"}
    assert events.events == []


def test_a_detach_is_one_line_and_an_event_while_the_pod_exists(
    reporter: Reporter, events: Recorder, lines: list[logging.LogRecord]
) -> None:
    reporter.detached(POD, record("red"), 0.002)
    reporter.detached(None, record("red"), 0.002)
    assert [line.getMessage() for line in lines] == [
        f"detached {RED.ifname} (network red) from pod default/web in 2 ms"
    ] * 2
    assert fields(lines[1]) == WHAT | {"RESULT": "detached", "CNI_COMMAND": "DEL", "DURATION_MS": "2.0"}
    assert events.events == [("Normal", "NetworkDetached", f"detached {RED.ifname} (network red)")]


def test_every_failed_try_is_a_line_but_the_same_failure_only_one_event(
    reporter: Reporter, events: Recorder, lines: list[logging.LogRecord]
) -> None:
    for retry_in in (1.0, 2.0, 4.0):
        reporter.attach_failed(POD, RED, PluginError("bridge", "no such bridge", 7), retry_in)
    assert [line.levelno for line in lines] == [logging.ERROR] * 3
    assert "next try in 4 s: CNI plugin bridge: no such bridge [code 7]" in lines[2].getMessage()
    assert fields(lines[0]) == WHAT | {"RESULT": "failed", "CNI_COMMAND": "ADD"} | Message.ATTACH_FAILED.field
    ((event_type, reason, message),) = events.events
    assert (event_type, reason) == ("Warning", "NetworkAttachFailed")
    assert "no such bridge" in message


def test_another_reason_and_a_failure_after_success_are_news(reporter: Reporter, events: Recorder) -> None:
    reporter.attach_failed(POD, RED, PluginError("bridge", "one"), 1)
    reporter.attach_failed(POD, RED, PluginError("bridge", "two"), 1)
    reporter.attached(POD, record("red"), 0)
    reporter.attach_failed(POD, RED, PluginError("bridge", "two"), 1)
    assert [reason for _, reason, _ in events.events].count("NetworkAttachFailed") == 3


def test_failures_of_detaching_are_told_alike(
    reporter: Reporter, events: Recorder, lines: list[logging.LogRecord]
) -> None:
    for who in (POD, POD, None):
        reporter.detach_failed(who, record("red"), PluginError("bridge", "busy"), 1)
    assert len(lines) == 3
    assert fields(lines[0]) == WHAT | {"RESULT": "failed", "CNI_COMMAND": "DEL"} | Message.DETACH_FAILED.field
    assert [(kind, reason) for kind, reason, _ in events.events] == [("Warning", "NetworkDetachFailed")]


def test_a_bug_is_told_with_where_it_is(reporter: Reporter, events: Recorder, lines: list[logging.LogRecord]) -> None:
    reporter.attach_failed(POD, RED, ZeroDivisionError("x"), 60)
    reporter.attach_failed(POD, RED, PluginError("bridge", "x"), 60)
    assert [bool(line.exc_info) for line in lines] == [True, False]
    assert "internal error: ZeroDivisionError" in events.events[0][2]


def test_each_fault_of_an_annotation_is_a_line_and_an_event_once(
    reporter: Reporter, events: Recorder, lines: list[logging.LogRecord]
) -> None:
    for problems in (("one", "two"), ("one", "two"), ["one", "two"]):
        reporter.problems(POD, problems)
    assert [line.getMessage() for line in lines] == ["pod default/web: one", "pod default/web: two"]
    assert fields(lines[0]) == WHO | {"RESULT": "invalid"} | Message.ANNOTATION_INVALID.field
    assert events.events == [("Warning", "NetworkAnnotationInvalid", each) for each in ("one", "two")]


def test_a_fault_that_comes_back_after_it_was_mended_is_news(reporter: Reporter, events: Recorder) -> None:
    for problems in (("one",), (), ("one",), ()):
        reporter.problems(POD, problems)
    assert len(events.events) == 2


@pytest.mark.parametrize(
    ("reason", "level"),
    [
        (SandboxNotFound("none"), logging.DEBUG),
        (PodNotReady("not yet"), logging.DEBUG),
        (RuntimeUnavailable("down"), logging.WARNING),
    ],
)
def test_waiting_is_told_once_and_is_no_failure(
    reporter: Reporter, events: Recorder, lines: list[logging.LogRecord], reason: Any, level: int
) -> None:
    for _ in range(3):
        reporter.waiting(POD, reason)
    assert [line.levelno for line in lines] == [level]
    assert fields(lines[0]) == WHO | {"RESULT": "waiting"} | Message.SANDBOX_MISSING.field
    assert events.events == []


def test_a_second_outage_is_told_like_the_first(reporter: Reporter, lines: list[logging.LogRecord]) -> None:
    for _ in range(2):
        reporter.waiting(POD, RuntimeUnavailable("down"))
        reporter.waiting(POD, RuntimeUnavailable("down"))
        reporter.sandbox_found(POD)
    assert len(lines) == 2


def test_drift_is_told_with_all_interfaces_in_order(
    reporter: Reporter, events: Recorder, lines: list[logging.LogRecord]
) -> None:
    reporter.drifted(POD, frozenset({"netb", "neta"}))
    assert "interface neta, netb vanished" in lines[0].getMessage()
    assert [(kind, reason) for kind, reason, _ in events.events] == [("Warning", "NetworkDrifted")]


def test_nothing_is_remembered_of_pods_and_networks_that_are_gone(reporter: Reporter, events: Recorder) -> None:
    for number in range(100):
        reporter.attach_failed(POD, attachment(f"n{number}"), PluginError("bridge", "x"), 1)
    reporter.problems(POD, ("one",))
    reporter.keep_only(POD.key, {RED.ifname})
    assert list(reporter._last_said[POD.key]) == ["problems"]
    before = len(events.events)
    reporter.problems(POD, ("one",))
    assert len(events.events) == before
    reporter.forget(POD.key)
    reporter.forget(UNKNOWN.key)
    reporter.keep_only(UNKNOWN.key, ())
    reporter.sandbox_found(UNKNOWN)
    assert reporter._last_said == {}


def test_many_workers_report_at_once() -> None:
    class Nobody:
        def emit(self, pod: Pod, event_type: str, reason: str, message: str) -> None:
            pass

    reporter, failures = Reporter(Nobody()), []

    def live(who: Pod) -> None:
        try:
            for number in range(300):
                reporter.problems(who, (f"{number % 2}",))
                reporter.waiting(who, SandboxNotFound("x"))
                reporter.keep_only(who.key, ())
                reporter.forget(who.key)
        except Exception as error:  # whatever a race brings
            failures.append(error)

    threads = [threading.Thread(target=live, args=(pod(uid=f"uid-{number}"),)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (failures, reporter._last_said) == ([], {})
