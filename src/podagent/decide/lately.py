"""When something last happened to each of many keys, in bounded memory. Pure; times are passed in."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Collection, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)


class Lately(Generic[Key]):
    """Forgets the oldest of too many keys. From then on it may have happened, until that time, to any."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._times: OrderedDict[Key, float] = OrderedDict()
        self._forgotten = -math.inf

    def note(self, keys: Collection[Key], now: float) -> None:
        """It happens now to these keys."""
        for key in keys:
            self._times[key] = now
            self._times.move_to_end(key)
            if len(self._times) > self._most:
                self._forgotten = self._times.popitem(last=False)[1]

    def happened(self, keys: Collection[Key], since: float) -> bool:
        """Whether it has, or may have, happened to one of these keys since then."""
        return any(self._times.get(key, self._forgotten) >= since for key in keys)
