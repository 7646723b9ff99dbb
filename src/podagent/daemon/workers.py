"""The worker threads: each takes a pod from the queue, reconciles it, and requeues it if necessary.

They limit parallelism over pods; the queue ensures that no pod is reconciled twice at once.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from podagent import shortage
from podagent.act.ports import Beat, Expect, Reconcile
from podagent.act.reconciler import LOOKUP_ALLOWANCE_S
from podagent.daemon.workqueue import WorkQueue
from podagent.model import PodKey

_log = logging.getLogger(__name__)

_AFTER_A_BUG = 60.0
_LOOK_UP_S = 0.1


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
            reconcile: processes one key, announcing the time limit of each step; returns the seconds until the next
                pass, None if none is needed.
            register_beat: creates the beat of the named worker.
            number: number of threads.
        """
        self._queue = queue
        self._reconcile = reconcile
        self._threads = [
            threading.Thread(target=self._run, args=(register_beat(name),), name=name, daemon=True)
            for name in (f"worker {index + 1}" for index in range(number))
        ]

    def start(self) -> None:
        """Raises OutOfThreads; those that were started run on."""
        for thread in self._threads:
            shortage.start(thread)

    def join(self, timeout: float, hurry: Callable[[], bool]) -> int:
        """Waits for the workers to end, up to `timeout` seconds or until `hurry`. Returns the number that still run."""
        deadline = time.monotonic() + timeout
        while (at_work := [each for each in self._threads if each.is_alive()]) and time.monotonic() < deadline:
            if hurry():
                break
            at_work[0].join(_LOOK_UP_S)
        return len(at_work)

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
            _log.exception("internal error while reconciling pod %s, next try in %.0f s", pod, _AFTER_A_BUG)
            return _AFTER_A_BUG
