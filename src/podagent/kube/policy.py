"""Owns what follows a session of the watch: a table of what ended it, and whether it had lasted. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import Enum
from http import HTTPStatus
from typing import NamedTuple

from podagent.errors import ApiError, KubeconfigError
from podagent.kube.podlist import GarbledWatch

Failure = ApiError | KubeconfigError
"""What a session ends with, other than the end of its watch."""

# Expired, or not a version that this server ever gave.
_VERSION_REFUSED = (HTTPStatus.BAD_REQUEST, HTTPStatus.GONE)


class End(Enum):
    """What ended a session. Lists are part of it: they refuse and fail like watches."""

    ENDED = "the server ended the watch, as it was asked to"
    BROKE = "the connection of the watch broke, or went silent"
    GARBLED = "a line of the watch was not an event"
    GARBLED_AGAIN = "the same, and no watch has lasted since the line before"
    VERSION_REFUSED = "the version to resume from, or to list on from, is not available"
    REFUSED = "the server reported another error"
    UNREACHABLE = "there was no answer"
    UNREACHABLE_AGAIN = "there was no answer, and contact had been lost before"
    NO_CREDENTIALS = "the kubeconfig is missing or cannot be used"


class Pause(Enum):
    """When to wait, and count a failure for it."""

    NEVER = "no failure"
    UNLESS_FIRST = "the first failure in a row is free: trying once more may be all that is needed"
    ALWAYS = "waited for every time"


class Next(NamedTuple):
    """What to do after a session.

    Attributes:
        pause: when to wait before the next session. What the server asks for is waited for in any case.
        forgive: the failures before this end no longer count.
        relist: the next session begins with a list.
        drop_idle: close idle connections; what silenced this one has probably silenced them too.
        lost: report that contact is lost.
        reload: load the credentials again; the server may have moved, and the kubeconfig with it.
        longest_s: the longest pause.
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
    # Right after its beginning, again and again, an end is not the normal course of a watch.
    (End.ENDED, SHORT): Next(Pause.UNLESS_FIRST),
    (End.BROKE, LASTED): Next(Pause.UNLESS_FIRST, forgive=True, drop_idle=True),
    (End.BROKE, SHORT): Next(Pause.UNLESS_FIRST, drop_idle=True),
    (End.GARBLED, LASTED): Next(Pause.UNLESS_FIRST, forgive=True),
    (End.GARBLED, SHORT): Next(Pause.UNLESS_FIRST),
    (End.GARBLED_AGAIN, LASTED): Next(Pause.UNLESS_FIRST, forgive=True),
    # It may be this very event that cannot be read: a list steps over it.
    (End.GARBLED_AGAIN, SHORT): Next(Pause.UNLESS_FIRST, relist=True),
    (End.VERSION_REFUSED, LASTED): Next(Pause.UNLESS_FIRST, forgive=True, relist=True),
    (End.VERSION_REFUSED, SHORT): Next(Pause.UNLESS_FIRST, relist=True),
    (End.REFUSED, LASTED): Next(Pause.ALWAYS, forgive=True, lost=True),
    (End.REFUSED, SHORT): Next(Pause.ALWAYS, lost=True),
    # The rest ends a session before its watch begins.
    (End.UNREACHABLE, SHORT): Next(Pause.ALWAYS, lost=True),
    (End.UNREACHABLE_AGAIN, SHORT): Next(Pause.ALWAYS, lost=True, reload=True),
    # Soon, since nobody is asked: a kubeconfig that was put in place is to be noticed.
    (End.NO_CREDENTIALS, SHORT): Next(Pause.ALWAYS, lost=True, longest_s=5.0),
}


def what_ended(failure: Failure | None, *, watching: bool, garbled_before: bool, contact_lost: bool) -> End:
    """The kind of end.

    Args:
        failure: None when the watch just ended.
        watching: the watch had begun.
        garbled_before: a watch was garbled, and none has lasted since.
        contact_lost: contact had been lost before this session, and not been made in it.
    """
    if not isinstance(failure, ApiError):
        return End.NO_CREDENTIALS if failure else End.ENDED
    if isinstance(failure, GarbledWatch):
        return End.GARBLED_AGAIN if garbled_before else End.GARBLED
    if failure.status in _VERSION_REFUSED:
        return End.VERSION_REFUSED
    if failure.status:
        return End.REFUSED
    if watching:
        return End.BROKE
    return End.UNREACHABLE_AGAIN if contact_lost else End.UNREACHABLE
