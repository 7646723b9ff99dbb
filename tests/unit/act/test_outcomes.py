"""The outcome of an operation is remembered once, and reported to every sink."""

from __future__ import annotations

import random

import pytest

from podagent.act.outcomes import Outcome, Outcomes, PodState, Result
from podagent.decide.attempts import Attempts, Subject
from podagent.errors import PluginError, PodNotReady
from podagent.model import Operation, PodKey
from unit.factory import Clock, attachment, pod
from unit.nodemodel import Report

POD = pod()
RED = attachment("red")
ATTACH = Outcome(POD.key, POD, Operation.ATTACH, Result.ATTACHED, RED)
BUSY = PluginError("bridge", "busy")


class Broken:
    """A sink with a bug."""

    def report(self, outcome: Outcome) -> None:
        raise ZeroDivisionError("bug")

    def settled(self, key: PodKey, state: PodState) -> None:
        raise ZeroDivisionError("bug")


@pytest.fixture
def attempts() -> Attempts:
    return Attempts(lambda: 0.0, random.Random(1))


def test_a_failure_is_reported_with_its_next_try_and_is_news_once_until_a_success(attempts: Attempts) -> None:
    sink = Report()
    outcomes = Outcomes(attempts, [sink], Clock())
    for _ in range(2):
        retry_in = outcomes.failed(ATTACH._replace(error=BUSY), "aim")
    assert [(each.result, each.news) for each in sink.outcomes] == [(Result.FAILED, True), (Result.FAILED, False)]
    subject = Subject(Operation.ATTACH, RED.ifname)
    assert sink.outcomes[-1].retry_in == retry_in == outcomes.wait_for(POD.key, subject, "aim")
    outcomes.succeeded(ATTACH)
    assert attempts.snapshot() == {}


def test_a_remark_about_a_success_is_news_once_until_the_interface_is_attached(attempts: Attempts) -> None:
    sink = Report()
    outcomes = Outcomes(attempts, [sink], Clock())
    detached = ATTACH._replace(operation=Operation.DETACH, result=Result.DETACHED, remark="given up")
    for outcome in (detached, detached, detached._replace(remark="other"), ATTACH, detached):
        outcomes.succeeded(outcome)
    assert [each.news for each in sink.outcomes] == [True, False, True, True, True]
    outcomes.forget(POD.key)
    outcomes.succeeded(detached)
    assert sink.outcomes[-1].news


@pytest.mark.parametrize(
    ("operation", "error"),
    [(Operation.ATTACH, PodNotReady("not yet")), (Operation.FIND, BUSY), (Operation.TAKE_OVER, BUSY)],
)
def test_an_operation_whose_time_has_not_come_waits_and_is_no_failure(
    attempts: Attempts, operation: Operation, error: Exception
) -> None:
    sink = Report()
    Outcomes(attempts, [sink], Clock()).failed(ATTACH._replace(operation=operation, error=error), None)
    assert [each.result for each in sink.outcomes] == [Result.WAITING]


def test_a_bug_in_one_sink_keeps_nothing_from_the_others(attempts: Attempts, caplog: pytest.LogCaptureFixture) -> None:
    sink = Report()
    outcomes = Outcomes(attempts, [Broken(), sink], Clock())
    outcomes.succeeded(ATTACH)
    outcomes.settled(POD.key, PodState(POD, (), None))
    assert (len(sink.outcomes), len(sink.settled_pods)) == (1, 1)
    assert caplog.text.count("internal error in Broken") == 2


def test_many_failures_of_a_pod_are_summed_up_in_one_report_a_minute(attempts: Attempts) -> None:
    sink, clock = Report(), Clock()
    outcomes = Outcomes(attempts, [sink], clock)
    state = PodState(POD, (), 1.0)
    for number in range(512):
        outcomes.failed(ATTACH._replace(attachment=attachment(f"net{number}"), error=BUSY), "aim")
        outcomes.settled(POD.key, state)
    assert len(sink.outcomes) == 20 + 1
    assert "1 more failures" in str(sink.outcomes[-1].error)
    clock.now = 60
    outcomes.settled(POD.key, state)
    assert "491 more failures of this pod's networks" in str(sink.outcomes[-1].error)
    outcomes.forget(POD.key)
