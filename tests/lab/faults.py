"""What can be made to go wrong with the API stand-in. Holds decisions only; `apiserver` carries them out."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from lab.apierrors import ApiFailure

Match = Callable[[str, str], bool] | str | None

_MESSAGES = {
    429: "Too many requests, please try again later.",
    503: "apiserver is shutting down",
}


@dataclass
class _Failure:
    remaining: int
    status: int
    retry_after: int | None
    match: Match

    def applies_to(self, method: str, path: str) -> bool:
        if callable(self.match):
            return self.match(method, path)
        return path.startswith(self.match or "/")


class Faults:
    """Thread-safe switches."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._failures: list[_Failure] = []
        self._tokens: frozenset[str] = frozenset()
        self._truncations = 0
        self.delay = 0.0
        self.silences_new_connections = False

    def fail_next(self, count: int, status: int = 500, retry_after: int | None = None, match: Match = None) -> None:
        """The next `count` requests that match (path prefix, or predicate of method and path) fail with `status`."""
        with self._lock:
            self._failures.append(_Failure(count, status, retry_after, match))

    def stop_failing(self) -> None:
        with self._lock:
            self._failures.clear()

    def set_tokens(self, tokens: set[str]) -> None:
        """Only these bearer tokens are let in from now on; with none, everybody is."""
        with self._lock:
            self._tokens = frozenset(tokens)

    def truncate_next_watch_line(self) -> None:
        with self._lock:
            self._truncations += 1

    def take_truncation(self) -> bool:
        """Whether the line about to be sent is to be cut; consumes the order."""
        with self._lock:
            if not self._truncations:
                return False
            self._truncations -= 1
            return True

    def check(self, method: str, path: str, authorization: str) -> None:
        """Raises the ApiFailure that the request is to be answered with, if any."""
        with self._lock:
            scheme, _, token = authorization.partition(" ")
            if self._tokens and (scheme.lower() != "bearer" or token.strip() not in self._tokens):
                raise ApiFailure(401, "Unauthorized")
            for failure in self._failures:
                if failure.remaining and failure.applies_to(method, path):
                    failure.remaining -= 1
                    message = _MESSAGES.get(failure.status, "an error on the server has been ordered by the test")
                    raise ApiFailure(failure.status, message, retry_after=failure.retry_after)
