"""A keyed work queue: no key is worked on twice at once, duplicates coalesce, and a key added while it is in work is
requeued afterwards.

Keys belong to groups, which take turns. A group has a limited number of keys in work, so that workers are left for the
others even if all of its keys take minutes.
"""

from __future__ import annotations

import heapq
import threading
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Hashable
from itertools import count
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)


class WorkQueue(Generic[Key]):
    """Thread-safe. Times are seconds of `clock` (monotonic)."""

    def __init__(
        self,
        clock: Callable[[], float],
        group: Callable[[Key], Hashable] = lambda _: None,
        most_per_group: int = 1 << 30,
    ) -> None:
        """
        Args:
            group: the group of a key.
            most_per_group: how many keys of a group may be in work at once.
        """
        self._clock = clock
        self._group = group
        self._most_per_group = most_per_group
        self._changed = threading.Condition()
        self._ready: OrderedDict[Hashable, deque[Key]] = OrderedDict()
        self._busy: Counter[Hashable] = Counter()
        self._queued: set[Key] = set()
        self._working: set[Key] = set()
        self._again: set[Key] = set()
        self._due: dict[Key, float] = {}
        self._timers: list[tuple[float, int, Key]] = []
        self._tie_breaker = count()
        self._closed = False

    def add(self, key: Key) -> None:
        """Queues `key` for the next free worker and cancels its delay."""
        with self._changed:
            self._due.pop(key, None)
            self._enqueue(key)

    def add_after(self, key: Key, delay: float) -> None:
        """Queues `key` in `delay` seconds; the earliest of several requests wins."""
        with self._changed:
            due = self._clock() + delay
            if key in self._queued or key in self._again or self._due.get(key, due + 1) <= due:
                return
            self._due[key] = due
            heapq.heappush(self._timers, (due, next(self._tie_breaker), key))
            self._changed.notify()

    def get(self) -> Key | None:
        """Waits for the next key; None once the queue is closed. Pass every key to `done` afterwards."""
        with self._changed:
            while not self._closed:
                self._promote_due()
                group = self._next_group()
                if group is not None:
                    return self._take(*group)
                self._changed.wait(self._seconds_to_next())
            return None

    def done(self, key: Key) -> None:
        """Marks the work on `key` as done; requeues the key if it was added meanwhile."""
        with self._changed:
            self._working.discard(key)
            self._leave(self._group(key))
            self._changed.notify()
            if key in self._again:
                self._again.discard(key)
                self._enqueue(key)

    def close(self) -> None:
        """Stops handing out keys and wakes all waiting workers."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def __len__(self) -> int:
        with self._changed:
            return len(self._queued) + len(self._working)

    def _next_group(self) -> tuple[Hashable] | None:
        """The group whose turn it is, in a tuple; None if none may have another key in work."""
        return next(((group,) for group in self._ready if self._busy[group] < self._most_per_group), None)

    def _take(self, group: Hashable) -> Key:
        keys = self._ready[group]
        key = keys.popleft()
        if keys:
            self._ready.move_to_end(group)
        else:
            del self._ready[group]
        self._queued.discard(key)
        self._working.add(key)
        self._busy[group] += 1
        return key

    def _leave(self, group: Hashable) -> None:
        self._busy[group] -= 1
        if not self._busy[group]:
            del self._busy[group]

    def _enqueue(self, key: Key) -> None:
        if key in self._working:
            self._again.add(key)
        elif key not in self._queued:
            self._queued.add(key)
            self._ready.setdefault(self._group(key), deque()).append(key)
            self._changed.notify()

    def _promote_due(self) -> None:
        now = self._clock()
        while self._timers and self._timers[0][0] <= now:
            due, _, key = heapq.heappop(self._timers)
            if self._due.get(key) == due:
                del self._due[key]
                self._enqueue(key)

    def _seconds_to_next(self) -> float | None:
        return max(0.0, self._timers[0][0] - self._clock()) if self._timers else None
