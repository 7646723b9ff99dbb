"""Errors as the API server words them: objects of kind Status. Pure."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

_REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    409: "Conflict",
    410: "Expired",
    415: "UnsupportedMediaType",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}


class ApiFailure(Exception):
    """The request is answered with this instead of an object.

    Attributes:
        code: HTTP status code.
        reason: machine-readable word, as in ``Status.reason``.
        details: ``Status.details``, possibly empty.
        retry_after: seconds for the Retry-After header, or None.
    """

    def __init__(
        self,
        code: int,
        message: str,
        reason: str = "",
        details: Json | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.reason = reason or _REASONS.get(code, "Unknown")
        self.details = dict(details or {})
        self.retry_after = retry_after
        if retry_after is not None:
            self.details["retryAfterSeconds"] = retry_after

    def status(self) -> Json:
        """The object of kind Status that goes to the client."""
        status: Json = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code,
        }
        if self.details:
            status["details"] = self.details
        return status


def not_found(qualified: str, name: str) -> ApiFailure:
    """`qualified` is the resource with its group, such as ``networks.kaloom.com``."""
    return ApiFailure(404, f'{qualified} "{name}" not found', details=_details(qualified, name))


def already_exists(qualified: str, name: str) -> ApiFailure:
    return ApiFailure(409, f'{qualified} "{name}" already exists', "AlreadyExists", _details(qualified, name))


def conflict(qualified: str, name: str, why: str) -> ApiFailure:
    message = f'Operation cannot be fulfilled on {qualified} "{name}": {why}'
    return ApiFailure(409, message, "Conflict", _details(qualified, name))


def invalid(kind: str, name: str, why: str) -> ApiFailure:
    return ApiFailure(422, f'{kind} "{name}" is invalid: {why}', "Invalid", {"name": name, "kind": kind})


def expired(requested: int, oldest: int) -> ApiFailure:
    return ApiFailure(410, f"too old resource version: {requested} ({oldest})")


def _details(qualified: str, name: str) -> Json:
    plural, _, group = qualified.partition(".")
    return {"name": name, "kind": plural} | ({"group": group} if group else {})
