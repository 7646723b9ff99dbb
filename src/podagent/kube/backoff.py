"""Owns how long to wait for the API server after a failure. Pure: it never sleeps and reads no clock."""

from __future__ import annotations

import random

from podagent.decide.backoff import exponential

_LONGEST_RETRY_AFTER_S = 120.0


class Backoff:
    """Counts failures in a row. The waits are the product's exponential ones, up to ``cap_s``."""

    def __init__(self, rng: random.Random, first_s: float = 1.0, cap_s: float = 30.0) -> None:
        self._rng = rng
        self._first_s = first_s
        self._cap_s = cap_s
        self._failures = 0

    def next(self, retry_after_s: float | None = None, *, first_free: bool = False) -> float:
        """Seconds to wait before the next try.

        Args:
            retry_after_s: what the server asked for; the wait is longer than that, not shorter (two minutes at most).
            first_free: the first failure in a row costs nothing: for what mends itself by trying once more.
        """
        self._failures += 1
        if first_free and self._failures == 1 and retry_after_s is None:
            return 0.0
        delay = exponential(self._failures, self._rng, self._first_s, self._cap_s)
        return delay if retry_after_s is None else min(retry_after_s, _LONGEST_RETRY_AFTER_S) + delay

    def reset(self) -> None:
        """Things went well for long enough: the next failure is a first one."""
        self._failures = 0
