"""What became of an operation is remembered once, and told to every sink."""

from __future__ import annotations

import random

import pytest

from podagent.act.outcomes import Outcome, Outcomes, PodState, Result
from podagent.decide.attempts import Attempts
from podagent.errors import PluginError, PodNotReady
from podagent.model import Operation
from unit.factory import attachment, key, pod
from unit.nodemodel import SilentReport

POD = pod()
ATTACH = Outcome(POD.key, POD, Operation.ATTACH, Result.ATTACHED, attachment("red"))


class Broken:
    """A sink with a bug."""

    def told(self, outcome: Outcome) -> None:
        raise ZeroDivisionError("bug")

    def settled(self, key: object, state: PodState) -> None:
        raise ZeroDivisionError("bug")


@pytest.fixture
def attempts() -> Attempts:
    return Attempts(lambda: 0.0, random.Random(1))


def test_a_failure_is_told_with_its_next_try_and_is_news_once(attempts: Attempts) -> None:
    sink = SilentReport()
    outcomes = Outcomes(attempts, [sink])
    for _ in range(2):
        retry_in = outcomes.failed(ATTACH._replace(error=PluginError("bridge", "busy")), "aim")
    assert [(each.result, each.news) for each in sink.outcomes] == [(Result.FAILED, True), (Result.FAILED, False)]
    assert sink.outcomes[-1].retry_in == retry_in == outcomes.wait_for(POD.key, each_subject(attempts), "aim")


def each_subject(attempts: Attempts) -> object:
    (subject,) = attempts.snapshot()[POD.key]
    return subject


@pytest.mark.parametrize(
    ("operation", "error"),
    [
        (Operation.ATTACH, PodNotReady("not yet")),
        (Operation.FIND, PluginError("bridge", "x")),
        (Operation.TAKE_OVER, PluginError("bridge", "x")),
    ],
)
def test_what_has_not_come_yet_is_waited_for_and_no_failure(
    attempts: Attempts, operation: Operation, error: Exception
) -> None:
    sink = SilentReport()
    Outcomes(attempts, [sink]).failed(ATTACH._replace(operation=operation, error=error), None)
    assert [each.result for each in sink.outcomes] == [Result.WAITING]


def test_a_success_ends_what_failed_before(attempts: Attempts) -> None:
    outcomes = Outcomes(attempts, [])
    outcomes.failed(ATTACH._replace(error=PluginError("bridge", "busy")), "aim")
    outcomes.succeeded(ATTACH)
    assert attempts.snapshot() == {}


def test_a_bug_in_one_sink_keeps_nothing_from_the_others(attempts: Attempts, caplog: pytest.LogCaptureFixture) -> None:
    sink = SilentReport()
    outcomes = Outcomes(attempts, [Broken(), sink])
    outcomes.succeeded(ATTACH)
    outcomes.settled(key(), PodState(POD, (), None))
    assert (len(sink.outcomes), len(sink.settled_pods)) == (1, 1)
    assert caplog.text.count("internal error in Broken") == 2
