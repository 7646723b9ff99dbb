"""Logs the state of the connection to the API server: one line when it is lost, one when it is back."""

from __future__ import annotations

import logging
from collections.abc import Callable

from podagent.kube.policy import Failure
from podagent.kube.remedies import kind, remedy
from podagent.messages import Message

_log = logging.getLogger(__name__)


class Contact:
    """Tracks whether the API server responds, so that an outage of hours yields two lines in the journal.

    A different kind of failure is logged too: "connection refused" may become "forbidden".
    """

    def __init__(self, server: Callable[[], str], clock: Callable[[], float]) -> None:
        """`server`: returns its URL; `clock`: monotonic seconds."""
        self._server = server
        self._clock = clock
        self._lost_at: float | None = None
        self._kind: object = None

    @property
    def is_lost(self) -> bool:
        return self._lost_at is not None

    def lost(self, failure: Failure) -> None:
        reason, of_kind = "; ".join(filter(None, (str(failure), remedy(failure)))), kind(failure)
        if self._lost_at is None:
            self._lost_at = self._clock()
            _log.warning("lost contact with %s: %s", self._server(), reason, extra=Message.API_LOST.field)
        elif of_kind != self._kind:
            _log.warning("still no contact with %s: %s", self._server(), reason, extra=Message.API_LOST.field)
        else:
            _log.debug("still no contact with %s: %s", self._server(), reason)
        self._kind = of_kind

    def made(self) -> None:
        if self._lost_at is not None:
            _log.info("back in contact with %s after %.0f s", self._server(), self._clock() - self._lost_at)
        self._lost_at = None
