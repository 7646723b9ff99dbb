"""Waiting for a condition instead of sleeping."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_SHORTEST, _LONGEST = 0.015, 2.0


def eventually(condition: Callable[[], T], timeout: float = 10.0, what: str = "") -> T:
    """Calls `condition` until it gives something true, and returns that.

    A condition may use plain assert statements instead; the last failure, or the last value seen, is in the
    AssertionError raised after `timeout` seconds.
    """
    began = time.monotonic()
    while True:
        looked = time.monotonic()
        try:
            value = condition()
        except AssertionError as error:
            seen = f"failed with: {error}"
        else:
            if value:
                return value
            seen = f"was: {value!r}"
        now = time.monotonic()
        left = began + timeout - now
        if left < 0:
            raise AssertionError(f"not within {timeout:g} s: {what or 'the condition'}; it last {seen}")
        time.sleep(min(_pause(now - began, now - looked), left))


def _pause(waited: float, cost: float) -> float:
    """Seconds until the next look: more of them when a look is costly, and when it takes long anyway.

    What is awaited needs the processor itself.
    """
    return min(_LONGEST, max(_SHORTEST, 3 * cost, waited / 50))
