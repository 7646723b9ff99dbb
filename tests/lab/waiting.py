"""Waiting for a condition instead of sleeping."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_INTERVAL = 0.015


def eventually(condition: Callable[[], T], timeout: float = 10.0, what: str = "") -> T:
    """Calls `condition` until it gives something true, and returns that.

    A condition may use plain assert statements instead; the last failure, or the last value seen, is in the
    AssertionError raised after `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    while True:
        try:
            value = condition()
        except AssertionError as error:
            seen = f"failed with: {error}"
        else:
            if value:
                return value
            seen = f"was: {value!r}"
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout:g} s: {what or 'the condition'}; it last {seen}")
        time.sleep(_INTERVAL)
