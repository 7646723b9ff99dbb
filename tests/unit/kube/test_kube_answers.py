"""What errors, events and outages are called."""

from __future__ import annotations

import io
import logging

import pytest
from urllib3.response import HTTPResponse

from podagent.errors import ApiError
from podagent.kube.answers import decode_object, read_body, status_error
from podagent.kube.contact import Contact


def test_a_status_inside_a_watch_keeps_its_code_words_and_wait() -> None:
    status = {"code": 429, "message": "too\nmany \x1b[31m", "details": {"retryAfterSeconds": 3}}
    error = status_error(status, "watch")
    assert (str(error), error.status, error.retry_after) == ("watch: 429 too many [31m", 429, 3.0)


def test_a_status_without_anything_is_a_server_error() -> None:
    error = status_error({}, "watch")
    assert (error.status, error.retry_after) == (500, None)


def test_a_servers_novel_is_cut() -> None:
    assert len(str(status_error({"message": "x" * 100_000}, "watch"))) < 1000


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"7", b"\xff\xfe", b"[" * 100_000])
def test_a_body_that_is_no_object_is_an_error(body: bytes) -> None:
    with pytest.raises(ApiError, match=r"GET /x: the answer cannot be used: "):
        decode_object(body, "GET /x", 200)


def test_an_outage_is_said_when_it_begins_when_its_kind_changes_and_when_it_ends(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    now = 100.0
    contact = Contact(lambda: "https://api", lambda: now)
    contact.made()
    for reason, kind in [("refused", 0), ("timed out after 31 s", 0), ("forbidden", 403), ("forbidden", 403)]:
        contact.lost(reason, kind)
    assert contact.is_lost
    now = 160.0
    contact.made()
    contact.made()
    assert [record.getMessage() for record in caplog.records] == [
        "lost contact with https://api: refused",
        "still no contact with https://api: forbidden",
        "back in contact with https://api after 60 s",
    ]


def test_an_answer_that_trickles_in_is_given_up_and_its_connection_closed() -> None:
    answer = HTTPResponse(body=io.BytesIO(b"{}"), preload_content=False)
    with pytest.raises(ApiError, match="GET /x: the answer did not end in time"):
        read_body(answer, limit=10, deadline=-1, what="GET /x")
    assert answer.closed


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        ({"code": "410", "message": 7}, 500, "error without a message"),
        ({"code": True, "reason": "Expired"}, 500, "Expired"),
        ({"code": 0, "message": "no code"}, 500, "no code"),
        ({"code": 429, "message": "busy", "details": {"retryAfterSeconds": -3}}, 429, "busy"),
        ({"code": 429, "message": "busy", "details": {"retryAfterSeconds": "x"}}, 429, "busy"),
        ({"code": 429, "message": "busy", "details": []}, 429, "busy"),
    ],
)
def test_a_status_with_fields_of_other_types_reads_as_if_they_were_absent(
    status: dict[str, object], code: int, message: str
) -> None:
    error = status_error(status, "watch")
    assert (str(error), error.status, error.retry_after) == (f"watch: {code} {message}", code, None)
