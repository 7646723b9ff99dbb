"""The pods of this node as the API server last described them. Thread-safe; the watch writes, the workers read."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

from podagent.model import Pod


class PodTable:
    """Current pods by UID. `changed` is called with the UID of every pod that needs a look, and only then.

    Until the first complete list has arrived nobody is called: what is absent is not yet known to be gone.
    """

    def __init__(self, changed: Callable[[str], None], complete: Callable[[], None]) -> None:
        self._lock = threading.Lock()
        self._pods: dict[str, Pod] = {}
        self._changed = changed
        self._complete = complete
        self._synced = False

    @property
    def synced(self) -> bool:
        return self._synced

    def get(self, uid: str) -> Pod | None:
        with self._lock:
            return self._pods.get(uid)

    def uids(self) -> list[str]:
        with self._lock:
            return list(self._pods)

    def replace(self, pods: Iterable[Pod]) -> None:
        """A complete list arrived."""
        fresh = {pod.key.uid: pod for pod in pods}
        with self._lock:
            before, self._pods = self._pods, fresh
            first, self._synced = not self._synced, True
        if first:
            self._complete()
            return
        for uid in before.keys() | fresh.keys():
            if before.get(uid) != fresh.get(uid):
                self._changed(uid)

    def upsert(self, pod: Pod) -> None:
        """A pod came, or is now as given."""
        with self._lock:
            same = self._pods.get(pod.key.uid) == pod
            self._pods[pod.key.uid] = pod
        if self._synced and not same:
            self._changed(pod.key.uid)

    def remove(self, pod: Pod) -> None:
        """A pod object left. A newer object of the same static pod stays."""
        with self._lock:
            known = self._pods.get(pod.key.uid)
            if known is None or known.object_uid != pod.object_uid:
                return
            del self._pods[pod.key.uid]
        if self._synced:
            self._changed(pod.key.uid)
