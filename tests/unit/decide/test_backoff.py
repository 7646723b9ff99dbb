"""When a failed action may be tried again."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podagent.decide.backoff import FIRST_DELAY, LONGEST_DELAY, Backoffs, exponential


class Time:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def backoffs(time: Time) -> Backoffs:
    return Backoffs(time, random.Random(1))


@given(st.integers(1, 10_000), st.randoms(use_true_random=False))
def test_delays_double_from_one_second_to_five_minutes_give_or_take_a_fifth(failures: int, rng: random.Random) -> None:
    middle = min(FIRST_DELAY * 2.0 ** min(failures - 1, 20), LONGEST_DELAY)
    assert 0.8 * middle <= exponential(failures, rng) <= 1.2 * middle


def test_delays_are_not_the_same_for_everybody() -> None:
    rng = random.Random(1)
    assert len({exponential(9, rng) for _ in range(20)}) == 20


def test_what_never_failed_may_be_tried_now(backoffs: Backoffs) -> None:
    assert backoffs.remaining("uid", "net1", "aim") == 0


def test_waits_longer_after_each_failure_and_no_longer_than_told(backoffs: Backoffs, time: Time) -> None:
    waits = []
    for _ in range(12):
        waits.append(backoffs.failed("uid", "net1", "aim"))
        assert backoffs.remaining("uid", "net1", "aim") == pytest.approx(waits[-1])
        time.now += waits[-1]
        assert backoffs.remaining("uid", "net1", "aim") == 0
    assert waits[:4] == sorted(waits[:4])
    assert waits[-1] > 200


def test_another_aim_starts_afresh(backoffs: Backoffs) -> None:
    for _ in range(8):
        backoffs.failed("uid", "net1", "old aim")
    assert backoffs.remaining("uid", "net1", "new aim") == 0
    assert backoffs.failed("uid", "net1", "new aim") < 2


def test_pods_and_interfaces_have_nothing_to_do_with_each_other(backoffs: Backoffs) -> None:
    backoffs.failed("uid", "net1", "aim")
    assert backoffs.remaining("uid", "net2", "aim") == 0
    assert backoffs.remaining("other", "net1", "aim") == 0
    backoffs.succeeded("uid", "net2")
    backoffs.forget("other")
    backoffs.keep_only("other", ())
    assert backoffs.remaining("uid", "net1", "aim") > 0


def test_success_and_forgetting_start_afresh(backoffs: Backoffs) -> None:
    ways = (
        lambda: backoffs.succeeded("uid", "net1"),
        lambda: backoffs.forget("uid"),
        backoffs.clear,
        lambda: backoffs.keep_only("uid", {"net2"}),
    )
    for forget in ways:
        for _ in range(5):
            backoffs.failed("uid", "net1", "aim")
        forget()
        assert backoffs.remaining("uid", "net1", "aim") == 0
        assert backoffs.failed("uid", "net1", "aim") < 2


def test_keeps_what_is_still_asked_for(backoffs: Backoffs) -> None:
    backoffs.failed("uid", "net1", "aim")
    backoffs.keep_only("uid", {"net1"})
    assert backoffs.remaining("uid", "net1", "aim") > 0
