"""How long to wait, and how much is allowed."""

from __future__ import annotations

import random

import pytest

from podagent.kube.backoff import Backoff
from podagent.kube.budget import Budgets, TokenBucket


def backoff() -> Backoff:
    return Backoff(random.Random(7), first_s=1.0, cap_s=30.0)


def test_waits_double_up_to_the_cap_give_or_take_a_fifth() -> None:
    waits = backoff()
    for middle in [1, 2, 4, 8, 16, 30, 30, 30]:
        assert 0.8 * middle <= waits.next() <= 1.2 * middle


def test_stays_at_the_cap_for_ever() -> None:
    waits = backoff()
    assert all(waits.next() <= 36 for _ in range(5000))


def test_two_nodes_do_not_wait_alike() -> None:
    one, other = Backoff(random.Random(1)), Backoff(random.Random(2))
    assert one.next() != other.next()


def test_starts_over_after_a_reset() -> None:
    waits = backoff()
    for _ in range(5):
        waits.next()
    waits.reset()
    assert waits.next() <= 1.2


def test_the_first_failure_can_be_free_and_only_the_first() -> None:
    waits = backoff()
    assert waits.next(first_free=True) == 0
    assert waits.next(first_free=True) > 0
    waits.reset()
    assert waits.next(first_free=True) == 0


def test_never_comes_back_before_the_server_asked_for_but_does_come_back() -> None:
    assert 7.8 <= backoff().next(7) <= 8.2
    assert backoff().next(7, first_free=True) >= 7.8
    assert backoff().next(1e9) <= 121.2


def test_a_bucket_gives_its_burst_then_its_rate() -> None:
    now = 0.0
    bucket = TokenBucket(3, 0.5, lambda: now)
    assert [bucket.take() for _ in range(3)] == [0, 0, 0]
    assert bucket.take() == pytest.approx(2)
    now = 1.0
    assert bucket.take() == pytest.approx(1)
    now = 2.0
    assert bucket.take() == 0
    now = 1000.0
    assert [bucket.take() for _ in range(3)] == [0, 0, 0]
    assert bucket.take() > 0, "what was not used does not pile up beyond the burst"


def test_every_key_has_a_budget_of_its_own_and_few_are_remembered() -> None:
    budgets = Budgets(1, 1 / 300, lambda: 0.0, most=2)
    assert budgets.allows("a")
    assert not budgets.allows("a")
    assert budgets.allows("b")
    assert budgets.allows("c")
    assert budgets.allows("a"), "forgotten meanwhile"
