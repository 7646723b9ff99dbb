"""Owns one answer that is read line by line while the server goes on sending (a watch)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from types import TracebackType

from urllib3.response import BaseHTTPResponse

from podagent.errors import AnswerTooLarge
from podagent.kube.answers import transport_errors

_PIECE = 1 << 16
# An object of the API server is at most about 1.5 MB in etcd, some more as JSON.
_LONGEST_LINE = 16 << 20


class LineStream:
    """Iterates over the raw lines of an answer, without their line ends; a context manager that closes it.

    An end in the middle of a line hands out the half line. ApiError when the connection breaks or goes silent.
    """

    def __init__(self, response: BaseHTTPResponse, what: str) -> None:
        self._response = response
        self._what = what
        self._ended = False

    def __enter__(self) -> LineStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Read to its end, the connection is in the pool again; with something left in it, it is of no more use.
        if not self._ended:
            self._response.close()

    def __iter__(self) -> Iterator[bytes]:
        begun: list[bytes] = []
        size = 0
        while piece := self._read():
            head, *rest = piece.split(b"\n")
            begun.append(head)
            size += len(head)
            if rest:
                yield b"".join(begun)
                yield from rest[:-1]
                begun, size = [rest[-1]], len(rest[-1])
            if size > _LONGEST_LINE:
                raise AnswerTooLarge(f"{self._what}: a line is longer than {_LONGEST_LINE} bytes")
        self._ended = True
        if size:
            yield b"".join(begun)

    def abort(self) -> None:
        """End it from another thread: a blocked read returns at once."""
        with contextlib.suppress(OSError, RuntimeError, ValueError):  # it has ended by itself
            self._response.shutdown()

    def _read(self) -> bytes:
        with transport_errors(self._what):
            return self._response.read1(_PIECE)
