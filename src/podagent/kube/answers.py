"""Reads responses of the API server: bounded bodies, error objects, and transport errors as `ApiError`.

It sends nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from http import HTTPStatus
from http.client import HTTPException

from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError
from urllib3.response import BaseHTTPResponse

from podagent.errors import AnswerTooLarge, ApiError
from podagent.foreign import Json, excerpt, json_object, lenient
from podagent.timelimit import TookTooLong

# Exceptions of the client library without a usable HTTP response: its own wrapping of TLS errors, urllib3's, and those
# that urllib3 does not wrap when its retries are off.
TRANSPORT_ERRORS = (ApiException, HTTPError, HTTPException, OSError)

_PIECE = 1 << 16
_LARGEST_ERROR = 1 << 16
_LONGEST_MESSAGE = 600
_LONGEST_DELAY_S = 86400  # JSON numbers have no bounds
_CODES = range(100, 600)


@contextlib.contextmanager
def transport_errors(what: str) -> Iterator[None]:
    """Converts errors below HTTP to `ApiError` with status 0; `what` names the request."""
    try:
        yield
    except TRANSPORT_ERRORS as error:
        raise ApiError(f"{what}: {_quoted(_cause(error))}") from error


def read_body(response: BaseHTTPResponse, limit: int, what: str) -> bytes:
    """Reads the whole body, of at most `limit` bytes, and returns the connection to the pool.

    Raises:
        AnswerTooLarge: the body exceeds `limit`.
        ApiError: the connection broke, or the time limit passed.
    """
    pieces: list[bytes] = []
    size = 0
    with closing_unless_read(response), transport_errors(what):
        while piece := response.read1(_PIECE):
            pieces.append(piece)
            size += len(piece)
            if size > limit:
                raise AnswerTooLarge(f"{what}: the answer is larger than {limit} bytes", response.status)
    return b"".join(pieces)


@contextlib.contextmanager
def closing_unless_read(response: BaseHTTPResponse) -> Iterator[None]:
    """Closes the connection unless the response was read to its end: with unread data it is not reusable."""
    try:
        yield
    except BaseException:
        response.close()
        raise


def decode_object(body: bytes, what: str, status: int) -> Json:
    """The JSON object in a body. Raises ApiError."""
    try:
        return json_object(body)
    except ValueError as error:
        raise ApiError(f"{what}: the answer cannot be used: {error}", status) from error


def refusal(response: BaseHTTPResponse, what: str) -> ApiError:
    """Converts a response with a status other than 2xx to an error; consumes its body."""
    try:
        body = read_body(response, _LARGEST_ERROR, what)
    except ApiError:
        body = b""
    return ApiError(
        f"{what}: {response.status} {_status_message(body) or response.reason}",
        response.status,
        _retry_after(response.headers.get("Retry-After")),
    )


def status_error(status: Json, what: str) -> ApiError:
    """Converts an object of kind Status inside a watch to an error."""
    code = lenient(status, "code", int)
    code = code if code in _CODES else HTTPStatus.INTERNAL_SERVER_ERROR.value
    message = lenient(status, "message", str) or lenient(status, "reason", str) or "error without a message"
    seconds = min(lenient(lenient(status, "details", dict), "retryAfterSeconds", int), _LONGEST_DELAY_S)
    return ApiError(f"{what}: {code} {_quoted(message)}", code, float(seconds) if seconds > 0 else None)


def _status_message(body: bytes) -> str:
    try:
        return _quoted(lenient(json_object(body), "message", str))
    except ValueError:
        return ""


def _retry_after(text: str | None) -> float | None:
    """Parses ``Retry-After`` in seconds; API servers never send the date form."""
    return float(text) if text is not None and text.isascii() and text.isdigit() else None


def _cause(error: BaseException) -> str:
    if isinstance(error.__cause__, TookTooLong):
        return str(error.__cause__)  # which urllib3 words like any silence
    # The client library re-raises TLS errors with the text in `reason` and an uninformative `str`.
    return str(error.reason if isinstance(error, ApiException) else error) or type(error).__name__


def _quoted(text: str) -> str:
    """Sanitises server text for journals and terminals."""
    return excerpt(text, _LONGEST_MESSAGE, keep_end=False)
