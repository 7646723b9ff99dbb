"""Owns what an answer of the API server means: bounded bodies, its error objects, and lost connections as `ApiError`.

It sends nothing.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from http.client import HTTPException
from typing import Any

from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError
from urllib3.response import BaseHTTPResponse

from podagent.errors import AnswerTooLarge, ApiError
from podagent.model import Json

# What the client library lets through when there is no usable HTTP answer: its own wrapping of TLS errors, urllib3's,
# and what urllib3 does not wrap when it is told not to retry.
TRANSPORT_ERRORS = (ApiException, HTTPError, HTTPException, OSError)

_PIECE = 1 << 16
_LARGEST_ERROR = 1 << 16
_LONGEST_MESSAGE = 600


@contextlib.contextmanager
def transport_errors(what: str) -> Iterator[None]:
    """Raises what goes wrong below HTTP as `ApiError` of status 0; `what` names the request."""
    try:
        yield
    except TRANSPORT_ERRORS as error:
        raise ApiError(f"{what}: {_one_line(_cause(error))}") from error


def read_body(response: BaseHTTPResponse, limit: int, deadline: float, what: str) -> bytes:
    """The whole body; the connection goes back to the pool.

    Args:
        limit: the most bytes to hold.
        deadline: `time.monotonic()` by which all of it must have come; the read timeout bounds only each piece.

    Raises:
        AnswerTooLarge: more than `limit` bytes.
        ApiError: the connection broke, or it took too long.
    """
    pieces: list[bytes] = []
    size = 0
    with closing_unless_read(response), transport_errors(what):
        while piece := response.read1(_PIECE):
            pieces.append(piece)
            size += len(piece)
            if size > limit:
                raise AnswerTooLarge(f"{what}: the answer is larger than {limit} bytes", response.status)
            if time.monotonic() > deadline:
                raise ApiError(f"{what}: the answer did not end in time")
    return b"".join(pieces)


@contextlib.contextmanager
def closing_unless_read(response: BaseHTTPResponse) -> Iterator[None]:
    """A connection with the rest of an unread answer in it must not be used again."""
    try:
        yield
    except BaseException:
        response.close()
        raise


def decode_object(body: bytes, what: str, status: int) -> Json:
    """The JSON object in a body. ApiError when it is none."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ApiError(f"{what}: the answer is not JSON", status) from error
    if not isinstance(value, dict):
        raise ApiError(f"{what}: the answer is not a JSON object", status)
    return value


def refusal(response: BaseHTTPResponse, deadline: float, what: str) -> ApiError:
    """The error that an answer other than 2xx stands for; takes in its body."""
    try:
        body = read_body(response, _LARGEST_ERROR, deadline, what)
    except ApiError:
        body = b""
    return ApiError(
        f"{what}: {response.status} {_status_message(body) or response.reason}",
        response.status,
        _retry_after(response.headers.get("Retry-After")),
    )


def status_error(status: Json, what: str) -> ApiError:
    """The error that an object of kind Status stands for, as it comes inside a watch."""
    code = status.get("code")
    details = status.get("details")
    seconds = details.get("retryAfterSeconds") if isinstance(details, dict) else None
    message = _one_line(str(status.get("message") or status.get("reason") or "error without a message"))
    number = code if isinstance(code, int) else 500
    return ApiError(f"{what}: {number} {message}", number, _retry_after(str(seconds)))


def _status_message(body: bytes) -> str:
    try:
        status: Any = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    message = status.get("message") if isinstance(status, dict) else None
    return _one_line(message) if isinstance(message, str) else ""


def _retry_after(text: str | None) -> float | None:
    """Seconds; the date form of the header is never sent by an API server."""
    return float(text) if text is not None and text.isascii() and text.isdigit() else None


def _cause(error: BaseException) -> str:
    # The client library raises TLS errors anew with the text in `reason` and an empty-looking `str`.
    return str(error.reason if isinstance(error, ApiException) else error) or type(error).__name__


def _one_line(text: str) -> str:
    """The server's words end up in the journal and in terminals: no line breaks or control characters, no novels."""
    clean = "".join(char if char.isprintable() else " " for char in text[: 2 * _LONGEST_MESSAGE])
    return " ".join(clean.split())[:_LONGEST_MESSAGE]
