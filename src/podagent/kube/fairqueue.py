"""A bounded queue whose groups take turns: a flood of one group neither delays nor displaces the items of others."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Hashable
from typing import Generic, TypeVar

Item = TypeVar("Item")


class FairQueue(Generic[Item]):
    """Thread-safe."""

    def __init__(self, most: int) -> None:
        """`most`: how many items wait at most; beyond that the newest item of the longest group is dropped."""
        self._most = most
        self._changed = threading.Condition()
        self._groups: OrderedDict[Hashable, deque[Item]] = OrderedDict()
        self._waiting = 0

    def put(self, group: Hashable, item: Item) -> bool:
        """Adds an item without blocking. Returns False if an item, this or another one, was dropped for it."""
        with self._changed:
            self._groups.setdefault(group, deque()).append(item)
            self._waiting += 1
            self._changed.notify()
            if self._waiting <= self._most:
                return True
            longest = max(self._groups, key=lambda each: len(self._groups[each]))
            self._groups[longest].pop()
            self._settle(longest)
            return False

    def get(self, timeout_s: float) -> Item | None:
        """Takes the oldest item of the group whose turn it is; None if there was none for `timeout_s` seconds."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._groups, timeout_s):
                return None
            group = next(iter(self._groups))
            item = self._groups[group].popleft()
            self._groups.move_to_end(group)
            self._settle(group)
            return item

    def _settle(self, group: Hashable) -> None:
        self._waiting -= 1
        if not self._groups[group]:
            del self._groups[group]
