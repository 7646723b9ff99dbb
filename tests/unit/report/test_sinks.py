"""What users read: one line for each thing that happened, once, with its fields, and an Event where it is worth one."""

from __future__ import annotations

import logging

import pytest

from podagent.act.outcomes import Outcome, PodState, Result
from podagent.errors import (
    AnnotationError,
    NetnsUnavailable,
    NotUndone,
    PluginError,
    PodNotReady,
    RuntimeUnavailable,
    SandboxNotFound,
)
from podagent.messages import Message
from podagent.model import Operation, Pod
from podagent.report.events import PodEvents
from podagent.report.lines import JournalLines
from podagent.report.plugins import report_slow
from unit.factory import attachment, pod, record

POD = pod()
KEY = POD.key
RED = attachment("red")
NAMED = f"{RED.ifname} (network red)"
LEASED = f"{RED.ifname} (network red, 10.0.0.2/24)"
AS_RED = f"network red as {RED.ifname}"
VANISHED = f"interface {RED.ifname} vanished from the pod and is attached again"
REFUSED = "CNI plugin bridge: no such bridge [code 7]"
GONE = f"interface {RED.ifname} vanished from the pod and is not attached again yet: {REFUSED}"
WHO = {"POD": "web", "POD_NAMESPACE": "default", "POD_UID": KEY.uid}
WHAT = WHO | {"NETWORK": "red", "IFNAME": RED.ifname}

ATTACHED = Outcome(KEY, POD, Operation.ATTACH, Result.ATTACHED, RED, record("red"), seconds=0.01234)
ADOPTED = ATTACHED._replace(result=Result.ADOPTED)
DETACHED = Outcome(KEY, POD, Operation.DETACH, Result.DETACHED, RED, record("red"), seconds=0.002)
INHERITED = Outcome(KEY, POD, Operation.TAKE_OVER, Result.INHERITED, RED, record("red"))
DRIFTED = Outcome(KEY, POD, Operation.VERIFY, Result.DRIFTED, RED, record("red"))
INVALID = Outcome(KEY, POD, Operation.READ, Result.INVALID, error=AnnotationError("one"))
WAITING = Outcome(KEY, POD, Operation.FIND, Result.WAITING, error=SandboxNotFound("none"), retry_in=1.0)
NOT_ATTACHED = ATTACHED._replace(
    result=Result.FAILED, record=None, error=PluginError("bridge", "no such bridge", 7), retry_in=4.0
)
NOT_DETACHED = NOT_ATTACHED._replace(operation=Operation.DETACH, record=record("red"))

DENIED = WAITING._replace(error=NetnsUnavailable("permission denied (EACCES); see ausearch"))
UNVERIFIED = DENIED._replace(operation=Operation.VERIFY, result=Result.FAILED)

# The outcome and its line; its fields besides those of the pod and the network; its Event.
REPORTED = [
    (
        ATTACHED._replace(remark="unseen"),
        f"WARNING attached {LEASED} to pod default/web in 12 ms; unseen",
        {"CNI_COMMAND": "ADD", "DURATION_MS": "12.3", "MESSAGE_ID": Message.UNSEEN.value},
        f"Warning NetworkAttached: attached {LEASED}; unseen",
    ),
    (
        ATTACHED,
        f"INFO attached {LEASED} to pod default/web in 12 ms",
        {"CNI_COMMAND": "ADD", "DURATION_MS": "12.3"},
        f"Normal NetworkAttached: attached {LEASED}",
    ),
    (ADOPTED, f"INFO adopted {NAMED} of pod default/web: it was there already", {}, ""),
    (
        INHERITED,
        f"INFO took over {NAMED} of pod default/web from the former podagent",
        {"MESSAGE_ID": Message.INHERITED},
        "",
    ),
    (
        DETACHED,
        f"INFO detached {NAMED} from pod default/web in 2 ms",
        {"CNI_COMMAND": "DEL", "DURATION_MS": "2.0"},
        f"Normal NetworkDetached: detached {NAMED}",
    ),
    (
        DENIED,
        "WARNING pod default/web: waiting: permission denied (EACCES); see ausearch",
        {"MESSAGE_ID": Message.SANDBOX_MISSING},
        "Warning NetworkAttachFailed: permission denied (EACCES); see ausearch",
    ),
    (
        UNVERIFIED,
        "ERROR checking the interfaces of pod default/web failed, next try in 1 s: permission denied (EACCES);"
        " see ausearch",
        {},
        "Warning NetworkAttachFailed: checking the interfaces failed: permission denied (EACCES); see ausearch",
    ),
    (
        NOT_ATTACHED,
        f"ERROR attaching {AS_RED} to pod default/web failed, next try in 4 s: {REFUSED}",
        {"CNI_COMMAND": "ADD", "MESSAGE_ID": Message.ATTACH_FAILED},
        f"Warning NetworkAttachFailed: attaching {AS_RED} failed: {REFUSED}",
    ),
    (
        NOT_DETACHED,
        f"ERROR detaching {NAMED} from pod default/web failed, next try in 4 s: {REFUSED}",
        {"CNI_COMMAND": "DEL", "MESSAGE_ID": Message.DETACH_FAILED},
        f"Warning NetworkDetachFailed: detaching {NAMED} failed: {REFUSED}",
    ),
    (
        INVALID,
        "ERROR pod default/web: one",
        {"MESSAGE_ID": Message.ANNOTATION_INVALID},
        "Warning NetworkAnnotationInvalid: one",
    ),
    (
        DRIFTED,
        f"WARNING pod default/web: {VANISHED}",
        {"MESSAGE_ID": Message.DRIFTED},
        f"Warning NetworkDrifted: {VANISHED}",
    ),
    (
        DRIFTED._replace(error=NOT_ATTACHED.error),
        f"WARNING pod default/web: {GONE}",
        {"MESSAGE_ID": Message.DRIFTED},
        f"Warning NetworkDrifted: {GONE}",
    ),
    *[
        (
            WAITING._replace(error=reason),
            f"{level} pod default/web: waiting: {reason}",
            {"MESSAGE_ID": Message.SANDBOX_MISSING},
            "",
        )
        for level, reason in [
            ("DEBUG", SandboxNotFound("none")),
            ("DEBUG", PodNotReady("not yet")),
            ("WARNING", RuntimeUnavailable("down")),
        ]
    ],
]


class Reader:
    """Both sinks, and what comes out of them."""

    def __init__(self, log: pytest.LogCaptureFixture) -> None:
        self._log = log
        self._sinks = (JournalLines(), PodEvents(self))
        self.events: list[str] = []

    def emit(self, pod: Pod, event_type: str, reason: str, message: str) -> None:
        assert pod == POD
        self.events.append(f"{event_type} {reason}: {message}")

    def tell(self, *outcomes: Outcome) -> None:
        for outcome in outcomes:
            for sink in self._sinks:
                sink.report(outcome)

    def settle(self, state: PodState) -> None:
        for sink in self._sinks:
            sink.settled(KEY, state)

    @property
    def lines(self) -> list[str]:
        return [f"{record.levelname} {record.getMessage()}" for record in self._log.records]


@pytest.fixture
def reader(caplog: pytest.LogCaptureFixture) -> Reader:
    caplog.set_level(logging.DEBUG, "podagent")
    return Reader(caplog)


@pytest.mark.parametrize(("outcome", "line", "fields", "event"), REPORTED)
def test_an_outcome_is_a_line_with_its_facts_and_an_event_if_it_is_worth_one(
    reader: Reader, caplog: pytest.LogCaptureFixture, outcome: Outcome, line: str, fields: dict[str, str], event: str
) -> None:
    reader.tell(outcome)
    assert (reader.lines, reader.events) == ([line], [event] if event else [])
    found = {name: value for name, value in vars(caplog.records[0]).items() if name.isupper()}
    assert found == (WHAT if outcome.attachment else WHO) | {"RESULT": outcome.result.value} | fields


def test_every_result_has_its_words_and_an_attach_without_addresses_too(reader: Reader) -> None:
    reader.tell(*[ATTACHED._replace(result=result, error=RuntimeUnavailable("down")) for result in Result])
    assert len(reader.lines) == len(Result)
    reader.tell(ATTACHED._replace(record=record("red", result={})))
    assert "no address" in reader.lines[-1]


def test_a_pod_that_is_gone_gets_lines_but_no_events(reader: Reader) -> None:
    reader.tell(DETACHED._replace(pod=None), NOT_DETACHED._replace(pod=None))
    assert (len(reader.lines), reader.events) == (2, [])


def test_a_failure_is_repeated_in_lines_ever_less_often_but_only_news_is_an_event(reader: Reader) -> None:
    reader.tell(NOT_ATTACHED, *(NOT_ATTACHED._replace(news=False, tries=tries) for tries in range(2, 40)))
    attaching = f"ERROR attaching {AS_RED} to pod default/web"
    assert reader.lines == [
        f"{attaching} failed, next try in 4 s: {REFUSED}",
        *(f"{attaching} still failing after {tries} tries, next try in 4 s: {REFUSED}" for tries in (2, 4, 8, 16, 32)),
    ]
    reader.tell(NOT_ATTACHED._replace(tries=41))
    assert f"{attaching} failed" in reader.lines[-1], "another error"
    assert len(reader.events) == 2


def test_a_failure_that_is_not_retried_is_one_warning_and_waiting_one_line(reader: Reader) -> None:
    for outcome in (NOT_ATTACHED._replace(retry_in=None), WAITING):
        reader.tell(outcome, outcome._replace(news=False), outcome._replace(news=False))
    assert reader.lines == [
        f"WARNING attaching {AS_RED} to pod default/web failed: {REFUSED}", "DEBUG pod default/web: waiting: none"
    ]  # fmt: skip
    assert len(reader.events) == 1


def test_a_failure_that_could_not_be_undone_is_reported_with_both_reasons(reader: Reader) -> None:
    error = PluginError("bridge", "route failed")
    error.__cause__ = NotUndone("the rollback failed too and will be retried: no answer")
    reader.tell(NOT_ATTACHED._replace(error=error))
    for text in (*reader.lines, *reader.events):
        assert text.endswith("route failed [code 999]; the rollback failed too and will be retried: no answer")


def test_a_bug_is_reported_with_its_traceback(reader: Reader, caplog: pytest.LogCaptureFixture) -> None:
    reader.tell(NOT_ATTACHED._replace(error=ZeroDivisionError("x")), NOT_ATTACHED)
    assert [bool(record.exc_info) for record in caplog.records] == [True, False]
    assert "internal error: ZeroDivisionError" in reader.events[0]


def test_the_end_of_a_pass_is_a_line_for_those_who_debug(reader: Reader) -> None:
    for look_in in (None, 2.5):
        reader.settle(PodState(POD, (record("red"),), look_in))
    start = "DEBUG pod default/web: 1 interfaces recorded, "
    assert reader.lines == [f"{start}no further pass", f"{start}next pass in 2.5 s"]
    assert reader.events == []


def test_a_plugin_that_is_at_work_for_long_is_a_line_with_its_pod_and_its_limit(
    caplog: pytest.LogCaptureFixture,
) -> None:
    args = "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web"
    report_slow(120, "bridge", {"CNI_COMMAND": "ADD", "CNI_IFNAME": RED.ifname, "CNI_ARGS": args}, 10)
    what = f"ADD of {RED.ifname} for pod default/web"
    assert caplog.messages == [f"CNI plugin bridge has been at work for 10 s on {what}; it is killed after 120 s"]
    assert {"POD": "web", "CNI_COMMAND": "ADD"}.items() <= vars(caplog.records[0]).items()
