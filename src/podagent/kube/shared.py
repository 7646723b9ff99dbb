"""Makes a value once for all threads that ask for it meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

_T = TypeVar("_T")


class Shared(Generic[_T]):
    """Shares what `make` returns or raises with all that wait for it. No lock is held while it runs."""

    def __init__(self, make: Callable[[], _T]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._made: Future[_T] | None = None

    def made(self, present: Callable[[], _T | None] = lambda: None) -> _T:
        """The `present` value if that is one already; else the value that is being made, or a new one."""
        with self._lock:
            if (value := present()) is not None:
                return value
            made, ours = self._made, self._made is None
            if made is None:
                made = self._made = Future()
        if ours:
            self._fulfil(made)
        return made.result()

    def made_from_now_on(self) -> _T:
        """A value that no earlier call has begun to make."""
        with self._lock:
            begun = self._made
        if begun:
            begun.exception()  # its end
        return self.made()

    def _fulfil(self, made: Future[_T]) -> None:
        try:
            value = self._make()
        except BaseException as fault:
            self._forget()
            made.set_exception(fault)
        else:
            self._forget()
            made.set_result(value)

    def _forget(self) -> None:
        with self._lock:
            self._made = None
