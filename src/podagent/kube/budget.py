"""Owns how much of something is allowed over time. Pure: the clock is given."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable

# Who waits exactly as long as told must not find a token short of a rounding error, again and again.
_ROUNDING = 1e-6


class TokenBucket:
    """`burst` at once, and `per_second` in the long run."""

    def __init__(self, burst: float, per_second: float, clock: Callable[[], float]) -> None:
        self._burst = burst
        self._per_second = per_second
        self._clock = clock
        self._tokens = burst
        self._filled_at = clock()

    def take(self) -> float:
        """Take one: 0.0 when it was there, else the seconds until it will be, with nothing taken."""
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._filled_at) * self._per_second)
        self._filled_at = now
        if self._tokens > 1 - _ROUNDING:
            self._tokens -= 1
            return 0.0
        return (1 - self._tokens) / self._per_second


class Budgets:
    """One bucket for each key; the least recently used are forgotten beyond `most` keys."""

    def __init__(self, burst: float, per_second: float, clock: Callable[[], float], most: int) -> None:
        self._burst = burst
        self._per_second = per_second
        self._clock = clock
        self._most = most
        self._buckets: OrderedDict[Hashable, TokenBucket] = OrderedDict()

    def allows(self, key: Hashable) -> bool:
        """Whether one more is allowed for `key` now; if so it is counted."""
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = TokenBucket(self._burst, self._per_second, self._clock)
        self._buckets.move_to_end(key)
        if len(self._buckets) > self._most:
            self._buckets.popitem(last=False)
        return bucket.take() == 0.0
