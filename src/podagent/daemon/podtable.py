"""The pods of this node, as last reported by the API server. Thread-safe; the watch writes, the workers read."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

from podagent.model import Pod, PodKey


class PodTable:
    """Current pods. Calls `changed` with the key of every pod that changed.

    Before the first complete list it calls nothing: a pod that is absent may exist all the same.
    """

    def __init__(self, changed: Callable[[PodKey], None], complete: Callable[[], None]) -> None:
        self._lock = threading.Lock()
        self._pods: dict[PodKey, Pod] = {}
        self._changed = changed
        self._complete = complete
        self._synced = False

    @property
    def synced(self) -> bool:
        return self._synced

    def get(self, key: PodKey) -> Pod | None:
        with self._lock:
            return self._pods.get(key)

    def keys(self) -> list[PodKey]:
        with self._lock:
            return list(self._pods)

    def replace(self, pods: Iterable[Pod]) -> None:
        """Handles a complete list."""
        fresh = {pod.key: pod for pod in pods}
        with self._lock:
            before, self._pods = self._pods, fresh
            first, self._synced = not self._synced, True
        if first:
            self._complete()
            return
        for key in before.keys() | fresh.keys():
            if before.get(key) != fresh.get(key):
                self._changed(key)

    def upsert(self, pod: Pod) -> None:
        """Handles a new or changed pod."""
        with self._lock:
            same = self._pods.get(pod.key) == pod
            self._pods[pod.key] = pod
        if self._synced and not same:
            self._changed(pod.key)

    def remove(self, pod: Pod) -> None:
        """Handles a deleted pod object. A newer mirror pod of the same static pod stays."""
        with self._lock:
            known = self._pods.get(pod.key)
            if known is None or known.object_uid != pod.object_uid:
                return
            del self._pods[pod.key]
        if self._synced:
            self._changed(pod.key)
