"""The threads that reconcile: each takes a pod from the queue, works on it, and puts it back if need be.

Bounded parallelism over pods lives here; that no pod is worked on twice at once is the queue's doing.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Protocol

from podagent.daemon.workqueue import WorkQueue
from podagent.model import Attachment, Invocation, Json, Pod, PodKey, Record, Sandbox, Target, Via

_log = logging.getLogger(__name__)

STEP_ALLOWANCE = 180.0  # lookups in the runtime and the API server between two plugins, all their time-outs added up
_AFTER_A_BUG = 60.0


class Beat(Protocol):
    """A sign of life, see `podagent.daemon.health`."""

    def working(self, allowance_s: float) -> None: ...

    def idle(self) -> None: ...


class Cni(Protocol):
    """CNI operations, see `podagent.cni.runtime`."""

    def add(self, call: Invocation, target: Target) -> Json: ...

    def delete(self, call: Invocation, target: Target, added: Json | None) -> None: ...


class Workers:
    """A fixed number of worker threads."""

    def __init__(
        self,
        queue: WorkQueue[PodKey],
        reconcile: Callable[[PodKey], float | None],
        register_beat: Callable[[str], Beat],
        number: int,
    ) -> None:
        """
        Args:
            queue: the keys to work on.
            reconcile: works on one key; returns the seconds until it needs another look, None for no need.
            register_beat: makes the sign of life of the worker of that name.
            number: of threads.
        """
        self._queue = queue
        self._reconcile = reconcile
        self._beats = threading.local()
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

    def expect(self, seconds: float) -> None:
        """The calling worker starts a step that ends within `seconds`; other threads are not watched."""
        beat: Beat | None = getattr(self._beats, "beat", None)
        if beat is not None:
            beat.working(seconds)

    def _run(self, beat: Beat) -> None:
        self._beats.beat = beat
        while (pod := self._queue.get()) is not None:
            beat.working(STEP_ALLOWANCE)
            wait = self._work(pod)
            self._queue.done(pod)
            if wait is not None:
                self._queue.add_after(pod, wait)
            beat.idle()

    def _work(self, pod: PodKey) -> float | None:
        try:
            return self._reconcile(pod)
        except Exception:
            _log.exception("internal error at work on pod %s, next try in %.0f s", pod, _AFTER_A_BUG)
            return _AFTER_A_BUG


class Networks(Protocol):
    """Says how a network is attached, see `podagent.resolve`."""

    def prepare(self, pod: Pod, attachment: Attachment, sandbox: Sandbox) -> tuple[Via, Invocation]: ...

    def current_netconf(self, record: Record) -> Json | None: ...


class WatchedNetworks:
    """Tells the watchdog of each network that it is a step of its own, however many a pod has and however slow the
    API server is to say what they are.
    """

    def __init__(self, networks: Networks, expect: Callable[[float], None]) -> None:
        self._networks = networks
        self._expect = expect

    def prepare(self, pod: Pod, attachment: Attachment, sandbox: Sandbox) -> tuple[Via, Invocation]:
        self._expect(STEP_ALLOWANCE)
        return self._networks.prepare(pod, attachment, sandbox)

    def current_netconf(self, record: Record) -> Json | None:
        self._expect(STEP_ALLOWANCE)
        return self._networks.current_netconf(record)


class WatchedCni:
    """CNI operations that tell the watchdog how long they may take: the time-out of every plugin in the chain."""

    def __init__(self, cni: Cni, expect: Callable[[float], None], plugin_timeout: float) -> None:
        self._cni = cni
        self._expect = expect
        self._plugin_timeout = plugin_timeout

    def add(self, call: Invocation, target: Target) -> Json:
        self._expect(self._allowance(call))
        try:
            return self._cni.add(call, target)
        finally:
            self._expect(STEP_ALLOWANCE)

    def delete(self, call: Invocation, target: Target, added: Json | None) -> None:
        self._expect(self._allowance(call))
        try:
            self._cni.delete(call, target, added)
        finally:
            self._expect(STEP_ALLOWANCE)

    def _allowance(self, call: Invocation) -> float:
        return len(call.netconf["plugins"]) * (self._plugin_timeout + 10) + STEP_ALLOWANCE
