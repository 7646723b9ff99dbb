"""Owns what an answer of the API server means: bounded bodies, its error objects, and lost connections as `ApiError`.

It sends nothing.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from http import HTTPStatus
from http.client import HTTPException

from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError
from urllib3.response import BaseHTTPResponse

from podagent.errors import AnswerTooLarge, ApiError
from podagent.foreign import Json, excerpt, json_object, lenient

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
        raise ApiError(f"{what}: {_quoted(_cause(error))}") from error


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
        return json_object(body)
    except ValueError as error:
        raise ApiError(f"{what}: the answer cannot be used: {error}", status) from error


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
    code = lenient(status, "code", int) or HTTPStatus.INTERNAL_SERVER_ERROR.value
    message = lenient(status, "message", str) or lenient(status, "reason", str) or "error without a message"
    seconds = lenient(lenient(status, "details", dict), "retryAfterSeconds", int)
    return ApiError(f"{what}: {code} {_quoted(message)}", code, float(seconds) if seconds > 0 else None)


def _status_message(body: bytes) -> str:
    try:
        return _quoted(lenient(json_object(body), "message", str))
    except ValueError:
        return ""


def _retry_after(text: str | None) -> float | None:
    """Seconds; the date form of the header is never sent by an API server."""
    return float(text) if text is not None and text.isascii() and text.isdigit() else None


def _cause(error: BaseException) -> str:
    # The client library raises TLS errors again with the text in `reason` and an empty-looking `str`.
    return str(error.reason if isinstance(error, ApiException) else error) or type(error).__name__


def _quoted(text: str) -> str:
    """The server's words end up in the journal and in terminals."""
    return excerpt(text, _LONGEST_MESSAGE, keep_end=False)
