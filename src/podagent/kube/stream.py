"""Reads a streaming response line by line (a watch)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from types import TracebackType

from urllib3.response import BaseHTTPResponse

from podagent.errors import AnswerTooLarge
from podagent.kube.answers import transport_errors
from podagent.timelimit import TimeLimit

_PIECE = 1 << 16
# An object in etcd has at most about 1.5 MB, somewhat more as JSON.
_LONGEST_LINE = 16 << 20


class LineStream:
    """Iterates over the raw lines of a response, without line ends; a context manager that closes it.

    Yields an incomplete last line too. Raises ApiError if the connection breaks, goes silent or drips.

    Attributes:
        patience_s: upper bound in seconds for the next line.
    """

    def __init__(self, response: BaseHTTPResponse, what: str, silence_s: float = 45.0, line_s: float = 20.0) -> None:
        """`silence_s`: limit before a line; `line_s`: from its first byte to its last one, in seconds."""
        self._response = response
        self._what = what
        self._silence_s = silence_s
        self._line_s = line_s
        self.patience_s = silence_s + line_s
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
        limit = self._before_a_line()
        while piece := self._read(limit):
            head, *rest = piece.split(b"\n")
            begun.append(head)
            size += len(head)
            if rest:
                yield b"".join(begun)
                yield from rest[:-1]
                begun, size = [rest[-1]], len(rest[-1])
                limit = TimeLimit(self._line_s) if size else self._before_a_line()
            if size > _LONGEST_LINE:
                raise AnswerTooLarge(f"{self._what}: a line is longer than {_LONGEST_LINE} bytes")
        self._ended = True
        if size:
            yield b"".join(begun)

    def abort(self) -> None:
        """Ends the stream from another thread: a blocked read returns at once."""
        with contextlib.suppress(OSError, RuntimeError, ValueError):  # it has already ended
            self._response.shutdown()

    def _before_a_line(self) -> TimeLimit:
        return TimeLimit(self._silence_s, once_begun_s=self._line_s)

    def _read(self, limit: TimeLimit) -> bytes:
        with transport_errors(self._what), limit:
            return self._response.read1(_PIECE)
