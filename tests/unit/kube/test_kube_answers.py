"""What errors, events and outages are called."""

from __future__ import annotations

import logging

import pytest

from podagent.errors import ApiError
from podagent.kube.answers import decode_object, status_error
from podagent.kube.contact import Contact
from podagent.kube.podlist import GarbledWatch, parse_event


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
    with pytest.raises(ApiError, match=r"GET /x: the answer is not"):
        decode_object(body, "GET /x", 200)


def test_reads_an_event() -> None:
    event = parse_event(b'{"type":"MODIFIED","object":{"metadata":{"name":"web","resourceVersion":"7"}}}')
    assert (event.kind, event.version) == ("MODIFIED", "7")
    assert event.pod is not None
    assert event.pod.key.name == "web"


def test_a_bookmark_is_a_version_without_a_pod() -> None:
    event = parse_event(b'{"type":"BOOKMARK","object":{"kind":"Pod","metadata":{"resourceVersion":"9"}}}')
    assert (event.version, event.pod) == ("9", None)


@pytest.mark.parametrize("line", [b"", b'{"type":"ADDED","object":{"metad', b"null", b'{"type":"ERROR","object":"x"}'])
def test_half_a_line_is_garbled(line: bytes) -> None:
    with pytest.raises(GarbledWatch):
        parse_event(line)


def test_an_error_event_is_raised() -> None:
    with pytest.raises(ApiError, match="410 too old") as caught:
        parse_event(b'{"type":"ERROR","object":{"code":410,"message":"too old"}}')
    assert caught.value.status == 410


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
