"""How long to wait, and how much is allowed."""

from __future__ import annotations

import random

import pytest

from podagent.kube.backoff import Backoff
from podagent.kube.budget import Budgets, TokenBucket


@pytest.fixture
def backoff() -> Backoff:
    return Backoff(random.Random(7), first_s=1.0, cap_s=30.0)


def test_waits_double_up_to_the_cap_give_or_take_a_fifth_until_they_are_reset(backoff: Backoff) -> None:
    for middle in [1, 2, 4, 8, 16, *[30] * 5000]:
        assert 0.8 * middle <= backoff.next() <= 1.2 * middle
    backoff.reset()
    assert backoff.next() <= 1.2


def test_two_nodes_do_not_wait_alike() -> None:
    assert Backoff(random.Random(1)).next() != Backoff(random.Random(2)).next()


def test_the_first_failure_can_be_free_and_only_the_first(backoff: Backoff) -> None:
    assert backoff.next(first_free=True) == 0
    assert backoff.next(first_free=True) > 0
    backoff.reset()
    assert backoff.next(first_free=True) == 0


@pytest.mark.parametrize(("asked", "shortest", "longest"), [(7, 7.8, 8.2), (1e9, 120.8, 121.2)])
@pytest.mark.parametrize("first_free", [False, True])
def test_never_comes_back_before_the_server_asked_for_but_does_come_back(
    backoff: Backoff, asked: float, shortest: float, longest: float, first_free: bool
) -> None:
    assert shortest <= backoff.next(asked, first_free=first_free) <= longest


def test_a_bucket_gives_its_burst_then_its_rate() -> None:
    now = 0.0
    bucket = TokenBucket(3, 0.5, lambda: now)
    assert [bucket.take() for _ in range(4)] == [0, 0, 0, pytest.approx(2)]
    now = 1.0
    assert bucket.take() == pytest.approx(1)
    now = 2.0
    assert bucket.take() == 0
    now = 1000.0
    assert [bucket.take() == 0 for _ in range(4)] == [True] * 3 + [False], "nothing piles up beyond the burst"


def test_every_key_has_a_budget_of_its_own_and_few_are_remembered() -> None:
    budgets = Budgets(1, 1 / 300, lambda: 0.0, most=2)
    assert [budgets.allows(key) for key in "aabc"] == [True, False, True, True]
    assert budgets.allows("a"), "forgotten meanwhile"
