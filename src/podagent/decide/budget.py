"""Rate limits. Pure; the clock is injected."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable

# Waiting exactly as long as `take` returned must yield a token despite rounding errors.
_ROUNDING = 1e-6


class TokenBucket:
    """Allows `burst` at once, and `per_second` on average."""

    def __init__(self, burst: float, per_second: float, clock: Callable[[], float]) -> None:
        self._burst = burst
        self._per_second = per_second
        self._clock = clock
        self._tokens = burst
        self._filled_at = clock()

    def take(self) -> float:
        """Takes a token and returns 0.0, or takes none and returns the seconds until there is one."""
        self._fill()
        if self._tokens > 1 - _ROUNDING:
            self._tokens -= 1
            return 0.0
        return (1 - self._tokens) / self._per_second

    def refund(self) -> None:
        """Puts a token back."""
        self._tokens = min(self._burst, self._tokens + 1)

    def _fill(self) -> None:
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._filled_at) * self._per_second)
        self._filled_at = now


class Budgets:
    """One bucket per key; beyond `most` keys, the least recently used are evicted. Thread-safe."""

    def __init__(self, burst: float, per_second: float, clock: Callable[[], float], most: int) -> None:
        self._burst = burst
        self._per_second = per_second
        self._clock = clock
        self._most = most
        self._lock = threading.Lock()
        self._buckets: OrderedDict[Hashable, TokenBucket] = OrderedDict()

    def refund(self, key: Hashable) -> None:
        """Puts a token back that `allows` took."""
        with self._lock:
            bucket = self._buckets.get(key)
            if bucket is not None:
                bucket.refund()

    def allows(self, key: Hashable) -> bool:
        """Whether `key` has a token; takes it."""
        with self._lock:
            bucket = self._buckets.get(key)
            if bucket is None:
                bucket = self._buckets[key] = TokenBucket(self._burst, self._per_second, self._clock)
            self._buckets.move_to_end(key)
            if len(self._buckets) > self._most:
                self._buckets.popitem(last=False)
            return bucket.take() == 0.0
