"""One answer read line by line."""

from __future__ import annotations

import pytest

from podagent.errors import AnswerTooLarge, ApiError
from podagent.kube.stream import LineStream
from unit.kube.kube_script import ScriptedResponse

BREAK = ConnectionResetError("reset by peer")


@pytest.mark.parametrize(
    ("pieces", "lines"),
    [
        ([b"one\ntwo\nthree\n"], [b"one", b"two", b"three"]),
        ([b"one\n", b"two\n", b"three\n"], [b"one", b"two", b"three"]),
        ([b"o", b"ne\ntw", b"o\nthre", b"e", b"\n"], [b"one", b"two", b"three"]),
        ([b"one\ntwo\nthree"], [b"one", b"two", b"three"]),
        ([], []),
        ([b"\n\n"], [b"", b""]),
    ],
)
def test_lines_are_the_same_however_the_answer_comes_in_pieces(pieces: list[bytes], lines: list[bytes]) -> None:
    assert list(LineStream(ScriptedResponse(pieces), "GET /x")) == lines


def test_a_line_without_end_is_refused_before_it_fills_the_memory() -> None:
    with pytest.raises(AnswerTooLarge, match="GET /x: a line is longer than 16777216 bytes"):
        list(LineStream(ScriptedResponse([b"x" * (1 << 20)] * 17), "GET /x"))


def test_a_break_is_an_error_after_the_lines_that_came() -> None:
    lines = iter(LineStream(ScriptedResponse([b"one\ntw", BREAK]), "GET /x"))
    assert next(lines) == b"one"
    with pytest.raises(ApiError, match="GET /x: reset by peer") as caught:
        next(lines)
    assert caught.value.status == 0


def test_the_connection_is_kept_only_when_the_answer_was_read_to_its_end() -> None:
    whole, left, broken = (
        ScriptedResponse([b"one\n"]),
        ScriptedResponse([b"one\n", b"two\n"]),
        ScriptedResponse([BREAK]),
    )
    with LineStream(whole, "") as stream:
        list(stream)
    with LineStream(left, "") as stream:
        next(iter(stream))
    with pytest.raises(ApiError), LineStream(broken, "") as stream:
        list(stream)
    assert [answer.calls for answer in (whole, left, broken)] == [[], ["close"], ["close"]]


@pytest.mark.parametrize("error", [None, OSError("gone"), RuntimeError("released"), ValueError("no socket")])
def test_an_abort_ends_the_read_and_one_that_comes_too_late_is_no_trouble(error: Exception | None) -> None:
    answer = ScriptedResponse([], fails=error)
    LineStream(answer, "").abort()
    assert answer.calls == ["shutdown"]
