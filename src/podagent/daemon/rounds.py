"""Schedules passes: on hints from the runtime, after the first list, on resync and SIGHUP."""

from __future__ import annotations

import random
from collections.abc import Callable

from podagent.act.ports import Expect, Reconcile
from podagent.daemon.podtable import PodTable
from podagent.daemon.workqueue import WorkQueue
from podagent.model import PodKey
from podagent.state.store import Store

_JITTER = 0.1


class Rounds:
    """Thread-safe. Schedules nothing before the first complete list: until then, no pod is known to be gone."""

    def __init__(
        self,
        pods: PodTable,
        store: Store,
        queue: WorkQueue[PodKey],
        period_s: float,
        rng: random.Random,
        clock: Callable[[], float],
    ) -> None:
        """`period_s`: seconds between two resyncs, with 10 % jitter; 0 for none."""
        self._pods = pods
        self._store = store
        self._queue = queue
        self._period_s = period_s
        self._rng = rng
        self._clock = clock
        self._to_verify: set[PodKey] = set()
        self._next_resync = self._after_now()

    def look_at(self, pod: PodKey) -> None:
        """Schedules a pass over the pod, after a hint that it changed."""
        if self._pods.synced:
            self._queue.add(pod)

    def look_at_all(self) -> None:
        """Schedules a pass with verification over all pods that exist or have records."""
        if self._pods.synced:
            for pod in {*self._pods.keys(), *self._store.pods()}:
                self._to_verify.add(pod)
                self._queue.add(pod)

    def seconds_to_resync(self) -> float:
        """Seconds until the next resync is due."""
        return max(0.0, self._next_resync - self._clock())

    def resync_if_due(self) -> None:
        """Starts a resync if it is due."""
        if self._clock() >= self._next_resync:
            self._next_resync = self._after_now()
            self.look_at_all()

    def verifying(self, reconcile: Callable[..., float | None]) -> Reconcile:
        """Wraps `Reconciler.reconcile`: sets `verify` after `look_at_all`, until the pod needs no further pass."""

        def verify(pod: PodKey, expect: Expect) -> float | None:
            verifying = self._take(pod)
            wait = reconcile(pod, verify=verifying, expect=expect)
            if verifying and wait is not None:
                self._to_verify.add(pod)
            return wait

        return verify

    def _take(self, pod: PodKey) -> bool:
        # A single operation: another thread may add the pod at any time.
        try:
            self._to_verify.remove(pod)
        except KeyError:
            return False
        return True

    def _after_now(self) -> float:
        if not self._period_s:
            return float("inf")
        return self._clock() + self._period_s * self._rng.uniform(1 - _JITTER, 1 + _JITTER)
