"""Reads a streaming response line by line (a watch)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from types import TracebackType

from urllib3.response import BaseHTTPResponse

from podagent.errors import AnswerTooLarge
from podagent.kube.answers import transport_errors

_PIECE = 1 << 16
# An object in etcd has at most about 1.5 MB, somewhat more as JSON.
_LONGEST_LINE = 16 << 20


class LineStream:
    """Iterates over the raw lines of a response, without line ends; a context manager that closes it.

    Yields an incomplete last line too. Raises ApiError if the connection breaks or goes silent.
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
        # A response read to its end has returned its connection to the pool; otherwise the connection is not reusable.
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
        """Ends the stream from another thread: a blocked read returns at once."""
        with contextlib.suppress(OSError, RuntimeError, ValueError):  # it has already ended
            self._response.shutdown()

    def _read(self) -> bytes:
        with transport_errors(self._what):
            return self._response.read1(_PIECE)
