"""The pods of the node, as last reported by the API server. Thread-safe; the watch writes, the workers read."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping

from podagent.decide.departures import doubtful
from podagent.errors import AbsenceUnconfirmed, PodNotGone
from podagent.model import Pod, PodKey

_log = logging.getLogger(__name__)


class PodTable:
    """Current pods. Calls `changed` with the key of every pod that changed.

    Before the first complete list it calls nothing: a pod that is absent may exist all the same.
    """

    def __init__(
        self,
        changed: Callable[[PodKey], None],
        complete: Callable[[], None],
        attached: Callable[[], Mapping[PodKey, int]],
        confirm_gone: Callable[[PodKey], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            changed: called with every pod that changed.
            complete: called after the first complete list.
            attached: the number of attachments of each pod that has any.
            confirm_gone: asks the API server for one pod by name; raises PodagentError unless it is gone.
        """
        self._lock = threading.Lock()
        self._pods: dict[PodKey, Pod] = {}
        self._changed = changed
        self._complete = complete
        self._attached = attached
        self._confirm_gone = confirm_gone
        self._clock = clock
        self._absent: frozenset[PodKey] = frozenset()  # attached pods that left, or that the last list lacked
        self._doubted: frozenset[PodKey] = frozenset()
        self._contradicted = False  # a pod that the last list lacks exists
        self._synced = False

    @property
    def synced(self) -> bool:
        return self._synced

    @property
    def confirmed(self) -> bool:
        """Whether the last list is believed."""
        return not self._doubted and not self._contradicted

    @property
    def doubted(self) -> int:
        """Number of pods whose absence from the last list must be confirmed by another one."""
        return len(self._doubted)

    def get(self, key: PodKey) -> Pod | None:
        with self._lock:
            return self._pods.get(key)

    def keys(self) -> list[PodKey]:
        with self._lock:
            return list(self._pods)

    def confirm_gone(self, key: PodKey) -> None:
        """Returns if an absent pod is gone. Raises PodagentError if it may exist."""
        if key in self._doubted:
            raise AbsenceUnconfirmed(f"pod {key} is absent from one list; another list must confirm that it is gone")
        try:
            self._confirm_gone(key)
        except PodNotGone:
            self._contradicted = True
            raise

    def replace(self, pods: Iterable[Pod]) -> None:
        """Handles a complete list."""
        fresh = {pod.key: self._dated(pod) for pod in pods}
        attached = self._attached()
        with self._lock:
            before, self._pods = self._pods, fresh
            doubted_before, absent_before = self._doubted, self._absent
            self._absent = frozenset(attached.keys() - fresh.keys())
            self._doubted = doubtful(attached, fresh) - absent_before
            self._contradicted = False
            first, self._synced = not self._synced, True
        if self._doubted:
            _log.warning(
                "the list of pods lacks %d of the %d pods that have attachments: nothing of theirs is detached until"
                " another list confirms it", len(self._doubted), len(attached),
            )  # fmt: skip
        if first:
            self._complete()
        else:
            for key in before.keys() | fresh.keys() | doubted_before:
                if before.get(key) != fresh.get(key) or key in doubted_before:
                    self._changed(key)

    def upsert(self, pod: Pod) -> None:
        """Handles a new or changed pod."""
        pod = self._dated(pod)
        with self._lock:
            same = self._pods.get(pod.key) == pod
            self._pods[pod.key] = pod
            self._absent -= {pod.key}
            self._doubted -= {pod.key}
        if self._synced and not same:
            self._changed(pod.key)

    def remove(self, pod: Pod) -> None:
        """Handles a deleted pod object. A newer mirror pod of the same static pod stays."""
        with self._lock:
            known = self._pods.get(pod.key)
            if known is None or known.object_uid != pod.object_uid:
                return
            del self._pods[pod.key]
            self._absent |= {pod.key}
        if self._synced:
            self._changed(pod.key)

    def _dated(self, pod: Pod) -> Pod:
        """The pod with the time when its annotations were received first."""
        known = self._pods.get(pod.key)
        same = known is not None and known.annotations == pod.annotations
        return pod._replace(asked_at=known.asked_at if known is not None and same else self._clock())
