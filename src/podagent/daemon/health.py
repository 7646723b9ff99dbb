"""Checks that the agent's loops make progress.

A loop calls `working` with the time limit of its next step, and `idle` while it waits for work. An unreachable API
server is not a hang; a step that exceeds its limit is. This module starts no threads: the main loop calls
`Watchdog.run_once` every `Watchdog.interval_s`.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping

from podagent.daemon.notify import Notifier
from podagent.messages import Message

log = logging.getLogger(__name__)

# sd_watchdog_enabled(3) recommends half the timeout; a third tolerates one late or lost ping.
_PINGS_PER_TIMEOUT = 3
_UNWATCHED_INTERVAL_S = 10.0


class Beat:
    """Progress of one loop. Created by `Heartbeats.register`; cheap and thread-safe."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._deadline: float | None = None

    def working(self, allowance_s: float) -> None:
        """The loop starts a step that ends within `allowance_s` seconds, unless it is stuck."""
        self._deadline = self._clock() + allowance_s

    def idle(self) -> None:
        """The loop waits for work, without a time limit."""
        self._deadline = None

    @property
    def overdue(self) -> bool:
        deadline = self._deadline  # read once: another thread may write it in between
        return deadline is not None and self._clock() > deadline


class Heartbeats:
    """All monitored loops.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._beats: dict[str, Beat] = {}

    def register(self, name: str) -> Beat:
        """The beat of the loop `name`. A restarted loop replaces its previous beat."""
        beat = Beat(self._clock)
        with self._lock:
            self._beats[name] = beat
        return beat

    def overdue(self) -> list[str]:
        """Names of the stuck loops, sorted."""
        with self._lock:
            beats = list(self._beats.items())
        return sorted(name for name, beat in beats if beat.overdue)


class Watchdog:
    """Pings systemd while no loop is stuck, so that systemd restarts a hanging agent.

    Attributes:
        interval_s: interval between calls of `run_once`, in seconds.
    """

    def __init__(self, heartbeats: Heartbeats, notifier: Notifier, environ: Mapping[str, str] = os.environ) -> None:
        self._heartbeats = heartbeats
        self._notifier = notifier
        timeout_s = _watchdog_timeout_s(environ)
        self._wanted = timeout_s is not None
        self.interval_s = timeout_s / _PINGS_PER_TIMEOUT if timeout_s is not None else _UNWATCHED_INTERVAL_S
        self._reported: frozenset[str] = frozenset()

    def run_once(self) -> bool:
        """Pings if no loop is stuck and returns True; otherwise logs each stuck loop once per episode."""
        stuck = frozenset(self._heartbeats.overdue())
        for name in sorted(stuck - self._reported):
            ending = "; systemd will restart the agent" if self._wanted else ""
            log.error("%s makes no progress%s", name, ending, extra=Message.NO_PROGRESS.field)
        for name in sorted(self._reported - stuck):
            log.warning("%s makes progress again", name)
        self._reported = stuck
        if not stuck and self._wanted:
            self._notifier.watchdog()
        return not stuck


def _watchdog_timeout_s(environ: Mapping[str, str]) -> float | None:
    """The watchdog timeout in seconds, None if systemd does not watch this process (sd_watchdog_enabled(3))."""
    pid, microseconds = environ.get("WATCHDOG_PID", ""), environ.get("WATCHDOG_USEC", "")
    if pid and pid != str(os.getpid()):
        return None
    if not (microseconds.isascii() and microseconds.isdigit()) or int(microseconds) == 0:
        return None
    return int(microseconds) / 1e6
