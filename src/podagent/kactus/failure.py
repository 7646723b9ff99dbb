"""Errors of kactus, reported as error objects (CNI SPEC, section 5 "Error"). Pure."""

from __future__ import annotations

from podagent.errors import CniError

INCOMPATIBLE_VERSION = 1
INVALID_ENVIRONMENT = 4
IO_FAILURE = 5
DECODING_FAILURE = 6
INVALID_CONFIG = 7
INVALID_NETNS = 8
TRY_AGAIN_LATER = 11
NOT_AVAILABLE = 50
INTERNAL = 999


class Failure(CniError):
    """An operation of kactus failed.

    Args:
        code: error code of the specification; errors of delegates keep the delegate's code.
        message: the problem.
        details: further information, possibly empty.
    """

    def __init__(self, code: int, message: str, details: str = "") -> None:
        super().__init__(message, code, details)
