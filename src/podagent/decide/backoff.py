"""The backoff that all retries share. Pure; randomness is injected."""

from __future__ import annotations

import random

FIRST_DELAY = 1.0
LONGEST_DELAY = 300.0
_JITTER = 0.2


def exponential(failures: int, rng: random.Random, first: float = FIRST_DELAY, longest: float = LONGEST_DELAY) -> float:
    """Seconds to wait after `failures` consecutive failures: `first`, doubled each time up to `longest`, +-20 %.

    The jitter spreads retries of operations that failed together: attachments of a node, nodes of a cluster.
    """
    delay = min(first * 2.0 ** min(failures - 1, 32), longest)
    return delay * rng.uniform(1 - _JITTER, 1 + _JITTER)
