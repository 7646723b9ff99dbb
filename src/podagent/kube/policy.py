"""Decides what follows a watch session, by the reason of its end and whether it had lasted. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import Enum
from http import HTTPStatus
from typing import NamedTuple

from podagent.errors import ApiError, KubeconfigError
from podagent.kube.feed import GarbledWatch

Failure = ApiError | KubeconfigError
"""The error that ended a session, other than a regular end of the watch."""

# Expired, or unknown to this server.
_VERSION_REFUSED = (HTTPStatus.BAD_REQUEST, HTTPStatus.GONE)


class End(Enum):
    """Why a session ended. Lists belong to the session and fail likewise."""

    ENDED = "the server ended the watch as requested"
    BROKE = "the connection of the watch broke, or went silent"
    GARBLED = "a line of the watch was not an event"
    GARBLED_AGAIN = "the same, and no watch has lasted since the last such line"
    VERSION_REFUSED = "the version of the watch or list is not available"
    BAD_REQUEST = "the server refuses the request itself: it may be none, or speak TLS only"
    NOT_SERVED = "the server does not serve the resource, or not yet"
    REFUSED = "the server reported another error"
    UNREACHABLE = "there was no answer"
    UNREACHABLE_AGAIN = "there was no answer, and contact had been lost before"
    NO_CREDENTIALS = "the kubeconfig is missing or cannot be used"


class Pause(Enum):
    """When to count a failure and wait."""

    NEVER = "no failure"
    UNLESS_FIRST = "not after the first consecutive failure: an immediate retry may succeed"
    ALWAYS = "after every failure"


class Next(NamedTuple):
    """The actions after a session.

    Attributes:
        pause: when to wait before the next session. A delay requested by the server always applies.
        forgive: reset the backoff.
        relist: start the next session with a list.
        drop_idle: close idle connections; the cause that broke this one has probably broken them too.
        lost: report that contact is lost.
        reload: reload the credentials; the server, and with it the kubeconfig, may have changed.
        longest_s: upper bound of the pause, in seconds.
    """

    pause: Pause
    forgive: bool = False
    relist: bool = False
    drop_idle: bool = False
    lost: bool = False
    reload: bool = False
    longest_s: float = math.inf


LASTED, SHORT = True, False
POLICY: Mapping[tuple[End, bool], Next] = {
    (End.ENDED, LASTED): Next(Pause.NEVER, forgive=True),
    # A watch that repeatedly ends right after its start is not normal.
    (End.ENDED, SHORT): Next(Pause.UNLESS_FIRST),
    (End.BROKE, LASTED): Next(Pause.UNLESS_FIRST, forgive=True, drop_idle=True),
    (End.BROKE, SHORT): Next(Pause.UNLESS_FIRST, drop_idle=True),
    (End.GARBLED, LASTED): Next(Pause.UNLESS_FIRST, forgive=True),
    (End.GARBLED, SHORT): Next(Pause.UNLESS_FIRST),
    (End.GARBLED_AGAIN, LASTED): Next(Pause.UNLESS_FIRST, forgive=True),
    # This very event may be unreadable: a list skips it.
    (End.GARBLED_AGAIN, SHORT): Next(Pause.UNLESS_FIRST, relist=True),
    (End.VERSION_REFUSED, LASTED): Next(Pause.UNLESS_FIRST, forgive=True, relist=True),
    (End.VERSION_REFUSED, SHORT): Next(Pause.UNLESS_FIRST, relist=True),
    (End.REFUSED, LASTED): Next(Pause.ALWAYS, forgive=True, lost=True),
    (End.REFUSED, SHORT): Next(Pause.ALWAYS, lost=True),
    # Short: the resource may be a custom one that is defined at any time.
    (End.NOT_SERVED, LASTED): Next(Pause.ALWAYS, forgive=True, relist=True, lost=True, longest_s=5.0),
    (End.NOT_SERVED, SHORT): Next(Pause.ALWAYS, relist=True, lost=True, longest_s=5.0),
    # The other ends occur before the watch starts. Another list may succeed, even if a watch never does.
    (End.BAD_REQUEST, SHORT): Next(Pause.ALWAYS, relist=True, lost=True),
    (End.UNREACHABLE, SHORT): Next(Pause.ALWAYS, lost=True),
    (End.UNREACHABLE_AGAIN, SHORT): Next(Pause.ALWAYS, lost=True, reload=True),
    # Short, since no server is involved: a new kubeconfig must be noticed soon.
    (End.NO_CREDENTIALS, SHORT): Next(Pause.ALWAYS, lost=True, longest_s=5.0),
}


def what_ended(
    failure: Failure | None, *, watching: bool, watched: bool, garbled_before: bool, contact_lost: bool
) -> End:
    """Classifies the end of a session.

    Args:
        failure: None if the watch ended regularly.
        watching: the watch had started.
        watched: a watch has started since the last list was requested.
        garbled_before: a watch was garbled, and none has lasted since.
        contact_lost: contact was lost before this session, and not restored in it.
    """
    if not isinstance(failure, ApiError):
        return End.NO_CREDENTIALS if failure else End.ENDED
    if isinstance(failure, GarbledWatch):
        return End.GARBLED_AGAIN if garbled_before else End.GARBLED
    if failure.status:
        return _answered(failure.status, watched=watched)
    if watching:
        return End.BROKE
    return End.UNREACHABLE_AGAIN if contact_lost else End.UNREACHABLE


def _answered(status: int, *, watched: bool) -> End:
    if status == HTTPStatus.BAD_REQUEST and not watched:
        return End.BAD_REQUEST
    if status == HTTPStatus.NOT_FOUND:
        return End.NOT_SERVED
    return End.VERSION_REFUSED if status in _VERSION_REFUSED else End.REFUSED
