"""The main loop: signals, watchdog pings, the resync timer, STATUS."""

from __future__ import annotations

import logging
import queue
import signal
from collections.abc import Callable

from podagent.daemon.health import Watchdog
from podagent.daemon.notify import Notifier
from podagent.daemon.rounds import Rounds

_log = logging.getLogger(__name__)

_STATUS_AT_WORK_S = 1.0
RELOADED, WAKE, LOOP_DIED = -2, -1, 0  # among signal numbers, which begin at 1


class Loop:
    """Runs in the main thread."""

    def __init__(
        self,
        watchdog: Watchdog,
        notifier: Notifier,
        rounds: Rounds,
        status: Callable[[], str],
        at_work: Callable[[], int],
        reload: Callable[[], None],
        received: queue.SimpleQueue[int],
    ) -> None:
        """
        Args:
            status: returns the line for ``systemctl status``.
            at_work: returns the number of pods in progress; if there are any, STATUS is updated more often.
            reload: called on SIGHUP; returns at once. `RELOADED` is received when it is done.
            received: signal numbers, `WAKE` when STATUS has changed, `RELOADED`, or `LOOP_DIED`. Filled by signal
                handlers and other threads.
        """
        self._watchdog = watchdog
        self._notifier = notifier
        self._rounds = rounds
        self._status = status
        self._at_work = at_work
        self._reload = reload
        self._received = received

    def run(self) -> int:
        """Runs until SIGTERM, SIGINT or `LOOP_DIED`; returns which."""
        while True:
            self._watchdog.run_once()
            self._notifier.status(self._status())
            try:
                received = self._received.get(timeout=self._seconds_to_next_duty())
            except queue.Empty:
                self._rounds.resync_if_due()
                continue
            if received == signal.SIGHUP:
                self._notifier.reloading()
                self._reload()
            elif received == RELOADED:
                self._notifier.ready()
            elif received != WAKE:
                why = "" if received == LOOP_DIED else f"{signal.Signals(received).name} received: "
                _log.info("%sstopping", why)
                return received

    def _seconds_to_next_duty(self) -> float:
        until_status = _STATUS_AT_WORK_S if self._at_work() else float("inf")
        return min(self._watchdog.interval_s, until_status, self._rounds.seconds_to_resync())
