"""The memory of failures: when they may be tried again, and whether they are news."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from podagent.decide.attempts import Attempts, Subject
from podagent.decide.lately import Lately
from podagent.model import DefinitionRef, Operation, PodKey
from unit.factory import Clock, key

POD, OTHER = key(), key("other")
NET1, NET2 = Subject(Operation.ATTACH, "net1"), Subject(Operation.ATTACH, "net2")
DEL1 = Subject(Operation.DETACH, "net1")
FIND = Subject(Operation.FIND)
DATA, OTHERS_DATA = (DefinitionRef("networks.kaloom.com/v1", namespace, "data") for namespace in ("default", "other"))


@pytest.fixture
def time() -> Clock:
    return Clock()


@pytest.fixture
def attempts(time: Clock) -> Attempts:
    return Attempts(time, random.Random(1))


def test_waits_longer_after_each_failure_and_exactly_that_long(attempts: Attempts, time: Clock) -> None:
    waits: list[float] = []
    assert attempts.remaining(POD, NET1, "aim") == 0
    for _ in range(12):
        waits.append(attempts.failed(POD, NET1, "aim", "error").retry_in)
        assert attempts.remaining(POD, NET1, "aim") == pytest.approx(waits[-1])
        time.now += waits[-1]
        assert attempts.remaining(POD, NET1, "aim") == 0
    assert waits[:4] == sorted(waits[:4])
    assert waits[-1] > 200


def test_a_final_failure_is_retried_only_with_another_aim(attempts: Attempts, time: Clock) -> None:
    assert attempts.failed(POD, NET1, "aim", "error", final=True).retry_in == math.inf
    time.now += 1e9
    assert (attempts.remaining(POD, NET1, "aim"), attempts.remaining(POD, NET1, "other")) == (math.inf, 0)


def test_another_aim_starts_afresh(attempts: Attempts) -> None:
    for _ in range(8):
        attempts.failed(POD, NET1, "old aim", "error")
    assert attempts.remaining(POD, NET1, "new aim") == 0
    assert attempts.failed(POD, NET1, "new aim", "error").retry_in < 2


def test_aims_that_change_all_the_time_do_not_reset_the_backoff(attempts: Attempts, time: Clock) -> None:
    waits = [attempts.failed(POD, NET1, f"aim {number}", "error").retry_in for number in range(12)]
    assert max(waits[:4]) < 2
    assert waits[-1] > 100
    assert attempts.remaining(POD, NET1, "one more") > 100
    time.now += 61
    assert attempts.remaining(POD, NET1, "an edit a minute later") == 0


def test_failures_of_a_namespace_share_a_budget_that_others_do_not_need(attempts: Attempts, time: Clock) -> None:
    assert sum(attempts.admit("busy") for _ in range(60)) == 20
    assert attempts.admit("quiet")
    attempts.refund("busy")
    assert [attempts.admit("busy") for _ in range(2)] == [True, False]
    time.now += 1
    assert sum(attempts.admit("busy") for _ in range(60)) == 2
    for _ in range(60):
        attempts.refund("busy")
    assert sum(attempts.admit("busy") for _ in range(60)) == 20
    attempts.refund("unknown")


def test_pods_interfaces_and_operations_have_nothing_to_do_with_each_other(attempts: Attempts) -> None:
    attempts.failed(POD, NET1, "aim", "error")
    assert attempts.remaining(POD, NET2, "aim") == 0
    assert attempts.remaining(POD, DEL1, "aim") == 0
    assert attempts.remaining(OTHER, NET1, "aim") == 0
    attempts.succeeded(POD, NET2)
    attempts.succeeded(OTHER, NET1)
    attempts.forget(OTHER)
    attempts.keep_only(OTHER, (), ())
    assert attempts.remaining(POD, NET1, "aim") > 0


@pytest.mark.parametrize(
    "forget",
    [
        lambda attempts: attempts.succeeded(POD, NET1),
        lambda attempts: attempts.forget(POD),
        lambda attempts: attempts.retry_now(),
        lambda attempts: attempts.keep_only(POD, {"net2"}, {"net1"}),
    ],
    ids=["success", "a pod that is gone", "a reload", "an entry taken out"],
)
def test_after_this_it_is_tried_at_once_and_waits_as_after_a_first_failure(
    attempts: Attempts, forget: Callable[[Attempts], None]
) -> None:
    for _ in range(5):
        attempts.failed(POD, NET1, "aim", "error")
    forget(attempts)
    assert attempts.remaining(POD, NET1, "aim") == 0
    assert attempts.failed(POD, NET1, "aim", "error").retry_in < 2


def test_keeps_what_is_still_asked_for(attempts: Attempts) -> None:
    for subject in (NET1, NET2, DEL1, Subject(Operation.DETACH, "net2"), FIND):
        attempts.failed(POD, subject, "aim", "error")
    attempts.keep_only(POD, wanted={"net2"}, recorded={"net1"})
    assert set(attempts.snapshot()[POD]) == {NET2, DEL1, FIND}


def test_a_failure_is_news_the_first_time_and_when_its_reason_changes(attempts: Attempts) -> None:
    news = [attempts.failed(POD, NET1, "aim", reason).news for reason in ("one", "one", "two", "two", "one")]
    assert news == [True, False, True, False, True]
    attempts.retry_now()
    assert not attempts.failed(POD, NET1, "aim", "one").news, "a reload makes no news"
    attempts.succeeded(POD, NET1)
    assert attempts.failed(POD, NET1, "aim", "one").news


def test_a_snapshot_stays_as_it_was(attempts: Attempts, time: Clock) -> None:
    attempts.failed(POD, NET1, "aim", "error")
    before = attempts.snapshot()
    attempts.forget(POD)
    (attempt,) = before[POD].values()
    assert (attempt.aim, attempt.failures, attempt.error) == ("aim", 1, "error")
    assert attempt.not_before > time.now
    assert attempts.snapshot() == {}


def test_many_workers_may_fail_while_another_thread_looks(attempts: Attempts) -> None:
    def live(uid: str) -> None:
        for number in range(300):
            attempts.failed(key(uid), NET1, number, "error")
            attempts.keep_only(key(uid), (), ())
            attempts.snapshot()
            attempts.retry_now()
            attempts.forget(key(uid))

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(live, "abcdef"))  # raises the error of a race, if there was one
    assert attempts.snapshot() == {}


@pytest.mark.parametrize(("needed", "woken"), [(DATA, [POD]), (OTHERS_DATA, [])], ids=["what it needs", "another"])
def test_a_definition_that_changes_has_what_waits_for_it_tried_at_once(
    attempts: Attempts, time: Clock, needed: DefinitionRef, woken: list[PodKey]
) -> None:
    for _ in range(8):
        attempts.failed(POD, NET1, "aim", "not defined", needs=[needed])
        attempts.failed(POD, NET2, "aim", "error")
    assert attempts.redefined([DATA]) == woken
    assert (attempts.remaining(POD, NET1, "aim") == 0) is bool(woken)
    assert attempts.remaining(POD, NET2, "aim") > 60, "it needs no definition"
    assert attempts.redefined([DATA]) == [], "it is due already"
    if woken:
        assert attempts.failed(POD, NET1, "aim", "still wrong", needs=[needed]).retry_in < 2


def test_a_definition_that_changed_during_the_attempt_has_it_repeated_at_once(attempts: Attempts, time: Clock) -> None:
    for _ in range(8):
        attempts.failed(POD, NET1, "aim", "not defined", needs=[DATA], began=time.now)
    time.now += 300
    attempts.redefined([DATA])
    began = time.now
    time.now += 5
    assert attempts.failed(POD, NET1, "aim", "not defined", needs=[DATA], began=began).retry_in == 0
    assert attempts.failed(POD, NET1, "aim", "not defined", needs=[DATA], began=time.now).retry_in > 0


def test_a_definition_retries_no_failure_that_is_final_or_only_waits(attempts: Attempts) -> None:
    attempts.failed(POD, NET1, "aim", "refused", final=True, needs=[DATA])
    attempts.failed(POD, NET2, "aim", "not ready", waits=True, needs=[DATA])
    assert attempts.redefined([DATA]) == []


def test_a_definition_that_changes_all_the_time_does_not_reset_the_backoff(attempts: Attempts, time: Clock) -> None:
    tries = 0
    for _ in range(60):
        if attempts.remaining(POD, NET1, "aim") == 0:
            attempts.failed(POD, NET1, "aim", "error", needs=[DATA], began=time.now)
            tries += 1
        time.now += 0.5
        attempts.redefined([DATA])
    assert tries <= 10


def test_too_many_changes_to_remember_count_for_everything_that_began_before(time: Clock) -> None:
    lately: Lately[int] = Lately(3)
    lately.note([1], 1)
    lately.note([2, 3], 2)
    assert [lately.happened([key], 2) for key in (1, 2, 3, 4)] == [False, True, True, False]
    lately.note([5], 4)
    assert [lately.happened([4], since) for since in (1, 2)] == [True, False]
    assert lately.happened([2, 5], 4)
    assert not lately.happened([], -1)
