"""Backoff for the API server. Pure: it never sleeps and reads no clock."""

from __future__ import annotations

import random

from podagent.decide.backoff import exponential

_LONGEST_RETRY_AFTER_S = 120.0


class Backoff:
    """Counts consecutive failures. Delays grow exponentially up to ``cap_s``."""

    def __init__(self, rng: random.Random, first_s: float = 1.0, cap_s: float = 30.0) -> None:
        self._rng = rng
        self._first_s = first_s
        self._cap_s = cap_s
        self._failures = 0

    def next(self, retry_after_s: float | None = None, *, first_free: bool = False) -> float:
        """Counts a failure and returns the seconds to wait.

        Args:
            retry_after_s: delay requested by the server, two minutes at most; the backoff is added to it.
            first_free: do not wait after the first consecutive failure: an immediate retry may succeed.
        """
        self._failures += 1
        if first_free and self._failures == 1 and retry_after_s is None:
            return 0.0
        delay = exponential(self._failures, self._rng, self._first_s, self._cap_s)
        return delay if retry_after_s is None else min(retry_after_s, _LONGEST_RETRY_AFTER_S) + delay

    def reset(self) -> None:
        """Resets the count after sustained success."""
        self._failures = 0
