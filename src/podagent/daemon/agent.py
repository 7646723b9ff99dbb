"""The running agent: its threads, from READY to shutdown.

watch -> PodTable -> WorkQueue -> Workers -> Inheritance -> Rounds -> Reconciler -> Executor -> CNI
                         ^                                                |
  runtime events, resync +                                                +-> Outcomes -> journal, Events
"""

from __future__ import annotations

import logging
import queue
import signal
import threading
from collections.abc import Callable, Mapping, Sequence

from podagent import shortage, signals
from podagent.daemon import memory
from podagent.daemon.loop import LOOP_DIED, Loop
from podagent.daemon.notify import Notifier
from podagent.daemon.workers import Workers
from podagent.errors import OutOfThreads, StoreError
from podagent.messages import Message

_log = logging.getLogger(__name__)

_STOP_MARGIN_S = 5.0  # for everything but plugins

Body = Callable[[threading.Event], None]
"""The body of a thread. Runs until the event is set; an earlier return is a bug."""


class Agent:
    """Starts and stops the parts made by `wiring`."""

    def __init__(
        self,
        about: str,
        loop: Loop,
        notifier: Notifier,
        workers: Workers,
        bodies: Mapping[str, Body],
        closers: Sequence[Callable[[], None]],
        received: queue.SimpleQueue[int],
        stop: threading.Event,
        stop_timeout_s: float,
    ) -> None:
        """
        Args:
            about: logged at start.
            bodies: thread bodies by thread name.
            closers: called after `stop` is set, to wake blocked threads.
            received: wakes the loop.
            stop: set at shutdown; no further work is started.
            stop_timeout_s: grace period for running plugins at shutdown, in seconds.
        """
        self._about = about
        self._loop = loop
        self._notifier = notifier
        self._workers = workers
        self._bodies = bodies
        self._closers = closers
        self._received = received
        self._stop = stop
        self._stop_timeout_s = stop_timeout_s
        self._refusal: StoreError | None = None

    def run(self) -> int:
        """Runs until SIGTERM or SIGINT. Returns the exit code: 0, or 1 after a bug ended a thread.

        Raises:
            OutOfThreads: the threads cannot be started.
            StoreError: the records cannot be read.
        """
        for number in signals.HANDLED:
            signal.signal(number, lambda received, _: self._received.put(received))
        signals.let_through()  # before there are threads: plugins inherit the mask of the one that starts them
        _log.info("%s", self._about)
        memory.freeze()
        try:
            self._start_threads()
        except OutOfThreads:
            self._shut_down()
            raise
        self._notifier.ready()
        why = self._loop.run()
        self._shut_down()
        if self._refusal is not None:
            raise self._refusal
        return 1 if why == LOOP_DIED else 0

    def _start_threads(self) -> None:
        self._workers.start()
        for name, body in self._bodies.items():
            shortage.start(threading.Thread(target=self._guarded, args=(name, body), name=name, daemon=True))

    def _guarded(self, name: str, body: Body) -> None:
        """Ends the agent if a bug, or records that cannot be read, end one of its threads."""
        try:
            body(self._stop)
        except StoreError as error:
            self._refusal = error
            self._received.put(LOOP_DIED)
        except Exception:
            _log.critical(
                "internal error in the %s loop: the agent exits, to be restarted", name, exc_info=True,
                extra=Message.INTERNAL_ERROR.field,
            )  # fmt: skip
            self._received.put(LOOP_DIED)

    def _shut_down(self) -> None:
        self._notifier.stopping(self._stop_timeout_s + _STOP_MARGIN_S)
        self._stop.set()
        for close in self._closers:
            close()
        if at_work := self._workers.join(self._stop_timeout_s, self._ended_again):
            _log.warning("plugins still running: %d; the agent waits for them at its next start", at_work)
        _log.info("stopped")

    def _ended_again(self) -> bool:
        """Whether another SIGTERM or SIGINT has arrived."""
        while not self._received.empty():
            if self._received.get() in signals.ENDING:
                return True
        return False
