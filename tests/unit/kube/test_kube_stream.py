"""One answer read line by line."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable

import pytest
from urllib3.response import HTTPResponse

from podagent.errors import AnswerTooLarge, ApiError
from podagent.kube.stream import LineStream


class Answer(HTTPResponse):
    """An answer that comes in these pieces, and then ends or breaks."""

    def __init__(self, pieces: Iterable[bytes], breaks: bool = False) -> None:
        super().__init__(body=io.BytesIO(), preload_content=False)
        self._pieces = iter(pieces)
        self._breaks = breaks
        self.shut = 0
        self.was_closed = False
        self.on_shutdown: Callable[[], None] = lambda: None

    def read1(self, *_: object) -> bytes:
        piece = next(self._pieces, b"")
        if not piece and self._breaks:
            raise ConnectionResetError("reset by peer")
        return piece

    def shutdown(self) -> None:
        self.shut += 1
        self.on_shutdown()

    def close(self) -> None:
        self.was_closed = True


def lines(*pieces: bytes) -> list[bytes]:
    with LineStream(Answer(pieces), "GET /x") as stream:
        return list(stream)


@pytest.mark.parametrize(
    "pieces",
    [
        [b"one\ntwo\nthree\n"],
        [b"one\n", b"two\n", b"three\n"],
        [b"o", b"ne\ntw", b"o\nthre", b"e", b"\n"],
        [b"one\ntwo\nthree"],
    ],
)
def test_lines_are_the_same_however_the_answer_comes_in_pieces(pieces: list[bytes]) -> None:
    assert lines(*pieces) == [b"one", b"two", b"three"]


def test_an_empty_answer_has_no_lines_and_an_empty_line_is_one() -> None:
    assert lines() == []
    assert lines(b"\n\n") == [b"", b""]


def test_a_line_without_end_is_refused_before_it_fills_the_memory() -> None:
    with pytest.raises(AnswerTooLarge, match="GET /x: a line is longer than 16777216 bytes"):
        lines(*[b"x" * (1 << 20)] * 17)


def test_a_break_is_an_error_after_the_lines_that_came() -> None:
    seen = []
    with (
        pytest.raises(ApiError, match="GET /x: reset by peer") as caught,
        LineStream(Answer([b"one\ntw"], breaks=True), "GET /x") as stream,
    ):
        seen.extend(stream)
    assert caught.value.status == 0
    assert seen == [b"one"]


def test_the_connection_is_kept_only_when_the_answer_was_read_to_its_end() -> None:
    whole, left, broken = Answer([b"one\n"]), Answer([b"one\n", b"two\n"]), Answer([], breaks=True)
    with LineStream(whole, "") as stream:
        list(stream)
    with LineStream(left, "") as stream:
        next(iter(stream))
    with pytest.raises(ApiError), LineStream(broken, "") as stream:
        list(stream)
    assert [answer.was_closed for answer in (whole, left, broken)] == [False, True, True]


@pytest.mark.parametrize("error", [None, OSError("gone"), RuntimeError("closed"), ValueError("no socket")])
def test_an_abort_ends_the_read_and_one_that_comes_too_late_is_no_trouble(error: Exception | None) -> None:
    answer = Answer([])

    def fail() -> None:
        if error:
            raise error

    answer.on_shutdown = fail
    LineStream(answer, "").abort()
    assert answer.shut == 1
