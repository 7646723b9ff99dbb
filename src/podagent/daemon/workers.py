"""The threads that reconcile: each takes a pod from the queue, works on it, and puts it back if need be.

Bounded parallelism over pods lives here; that no pod is worked on twice at once is the queue's doing.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from podagent.act.ports import Beat, Expect, Reconcile
from podagent.act.reconciler import LOOKUP_ALLOWANCE_S
from podagent.daemon.workqueue import WorkQueue
from podagent.model import PodKey

_log = logging.getLogger(__name__)

_AFTER_A_BUG = 60.0


class Workers:
    """A fixed number of worker threads."""

    def __init__(
        self,
        queue: WorkQueue[PodKey],
        reconcile: Reconcile,
        register_beat: Callable[[str], Beat],
        number: int,
    ) -> None:
        """
        Args:
            queue: the keys to work on.
            reconcile: works on one key, and says before each step how long that may take; returns the seconds until it
                needs another look, None for no need.
            register_beat: makes the sign of life of the worker of that name.
            number: of threads.
        """
        self._queue = queue
        self._reconcile = reconcile
        self._threads = [
            threading.Thread(target=self._run, args=(register_beat(name),), name=name, daemon=True)
            for name in (f"worker {index + 1}" for index in range(number))
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def join(self, timeout: float) -> int:
        """Waits until the workers have ended, at most `timeout` seconds. Returns how many are still at work."""
        deadline = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return sum(thread.is_alive() for thread in self._threads)

    def _run(self, beat: Beat) -> None:
        while (pod := self._queue.get()) is not None:
            beat.working(LOOKUP_ALLOWANCE_S)
            wait = self._work(pod, beat.working)
            self._queue.done(pod)
            if wait is not None:
                self._queue.add_after(pod, wait)
            beat.idle()

    def _work(self, pod: PodKey, expect: Expect) -> float | None:
        try:
            return self._reconcile(pod, expect)
        except Exception:
            _log.exception("internal error at work on pod %s, next try in %.0f s", pod, _AFTER_A_BUG)
            return _AFTER_A_BUG
