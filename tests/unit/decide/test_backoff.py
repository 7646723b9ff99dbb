"""How long to wait after a failure."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from podagent.decide.backoff import FIRST_DELAY, LONGEST_DELAY, exponential


@given(st.integers(1, 10_000), st.randoms(use_true_random=False))
def test_delays_double_from_one_second_to_five_minutes_give_or_take_a_fifth(failures: int, rng: random.Random) -> None:
    middle = min(FIRST_DELAY * 2.0 ** min(failures - 1, 20), LONGEST_DELAY)
    assert 0.8 * middle <= exponential(failures, rng) <= 1.2 * middle


def test_delays_are_not_the_same_for_everybody() -> None:
    rng = random.Random(1)
    assert len({exponential(9, rng) for _ in range(20)}) == 20
