"""Limits the time that an answer over HTTP takes, however it arrives.

The timeout of a socket starts again with every byte, so an answer that drips never exceeds it. A `TimeLimit` applies to
all that its thread reads. Once this module is imported, every connection of `http.client` respects it, and so do those
of the clients of Kubernetes and Docker: they are built on it, and have no such limit themselves.
"""

from __future__ import annotations

import io
import select
import socket
import threading
import time
from collections.abc import Callable, Iterable
from http.client import HTTPConnection, HTTPResponse
from types import TracebackType
from typing import Any

_LOOK_S = 1.0

_entered = threading.local()


class TookTooLong(TimeoutError):
    """An answer exceeded its `TimeLimit`."""


class TimeLimit:
    """A context manager. Within it, reading an answer raises TookTooLong when the time is over."""

    def __init__(
        self, seconds: float | None, *, once_begun_s: float | None = None, until: Callable[[], bool] | None = None
    ) -> None:
        """
        Args:
            seconds: from now on; None for no limit.
            once_begun_s: replaces the limit by this one when the first byte arrives. Line ends do not count: they may
                belong to what came before.
            until: ends the wait for the first byte. It is asked every second; only for sockets without TLS.
        """
        self._set(seconds)
        self._once_begun_s = once_begun_s
        self._until = until

    def __enter__(self) -> TimeLimit:
        self._outer = getattr(_entered, "limit", None)
        _entered.limit = self
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _entered.limit = self._outer

    def left(self, timeout: float | None) -> float | None:
        """The shorter of `timeout` and the time left. Raises TookTooLong when none is left."""
        if self._end is None:
            return timeout
        left = self._end - time.monotonic()
        if left <= 0:
            raise TookTooLong(f"the answer did not end within {self._seconds:g} s")
        return left if timeout is None else min(timeout, left)

    def wait(self, sock: socket.socket) -> None:
        """Waits for the first byte. Raises TookTooLong when `until` ends that."""
        while self._until is not None and not _is_readable(sock, self.left(_LOOK_S) or 0):
            if self._until():
                raise TookTooLong("nobody waits for the answer any more")

    def arrived(self, portion: bytes) -> None:
        if self._once_begun_s is not None and portion.strip(b"\r\n"):
            self._set(self._once_begun_s)
            self._once_begun_s = self._until = None

    def _set(self, seconds: float | None) -> None:
        self._seconds = seconds
        self._end = None if seconds is None else time.monotonic() + seconds


def connect(
    host: str, port: int | None, timeout_s: float | None, options: Iterable[tuple[int, int, int | bytes]] = ()
) -> socket.socket:
    """Connects to the first address of `host` that answers; all of them share the time.

    Args:
        timeout_s: for the connection, and then for each operation on the socket; None for no limit.
        options: arguments of ``setsockopt``.

    Raises:
        OSError: no address answers.
    """
    addresses = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
    shared = TimeLimit(timeout_s)
    fault = OSError(f"{host} has no address")
    for untried, (family, kind, protocol, _, address) in zip(range(len(addresses), 0, -1), addresses, strict=True):
        sock = socket.socket(family, kind, protocol)
        try:
            for option in options:
                sock.setsockopt(*option)
            left = shared.left(None)
            sock.settimeout(None if left is None else left / untried)
            sock.connect(address)
        except OSError as error:
            sock.close()
            fault = error
        else:
            sock.settimeout(timeout_s)
            return sock
    raise fault


class _TimedReads(io.RawIOBase):
    """Reads from a socket within the limit that the thread has entered."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket) -> None:
        self._raw = raw
        self._sock = sock

    def readable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._raw.fileno()

    def close(self) -> None:
        self._raw.close()
        super().close()

    def readinto(self, buffer: Any) -> int | None:
        limit: TimeLimit | None = getattr(_entered, "limit", None)
        if limit is None:
            return self._raw.readinto(buffer)
        limit.wait(self._sock)
        timeout = self._sock.gettimeout()
        self._sock.settimeout(limit.left(timeout))
        try:
            size = self._raw.readinto(buffer)
        except TimeoutError:
            limit.left(timeout)  # says so if that is the cause
            raise
        finally:
            self._sock.settimeout(timeout)
        limit.arrived(bytes(buffer[:size]))
        return size


def _is_readable(sock: socket.socket, seconds: float) -> bool:
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


class _TimedResponse(HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_TimedReads(self.fp.detach(), sock))


HTTPConnection.response_class = _TimedResponse
