"""The slow lane: networks whose plugins timed out share a few workers, however many pods want them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager

from podagent.errors import PluginTimeout

_REMEMBERED_S = 1800.0
_MOST_REMEMBERED = 4096


class SlowLane:
    """Thread-safe."""

    def __init__(self, width: int, clock: Callable[[], float]) -> None:
        """`width`: how many steps on slow networks may run at once."""
        self._clock = clock
        self._lock = threading.Lock()
        self._free = width
        self._timed_out: OrderedDict[Hashable, float] = OrderedDict()

    @contextmanager
    def step(self, network: Hashable) -> Iterator[bool]:
        """Surrounds one step on `network`. Yields False if the lane is full: then the step must not run.

        A PluginTimeout makes the network slow, until a step on it succeeds or for half an hour.
        """
        slow = self._is_slow(network)
        if slow and not self._occupy():
            yield False
            return
        try:
            yield True
            self._timed_out.pop(network, None)
        except PluginTimeout:
            self._remember(network)
            raise
        finally:
            if slow:
                self._release()

    def _is_slow(self, network: Hashable) -> bool:
        since = self._timed_out.get(network)
        return since is not None and self._clock() - since < _REMEMBERED_S

    def _occupy(self) -> bool:
        with self._lock:
            if not self._free:
                return False
            self._free -= 1
            return True

    def _release(self) -> None:
        with self._lock:
            self._free += 1

    def _remember(self, network: Hashable) -> None:
        with self._lock:
            self._timed_out[network] = self._clock()
            self._timed_out.move_to_end(network)
            if len(self._timed_out) > _MOST_REMEMBERED:
                self._timed_out.popitem(last=False)
