"""The line about the running agent in ``systemctl status``."""

from __future__ import annotations

from typing import Protocol

from podagent.daemon.following import Following
from podagent.daemon.nodewatch import NodeWatch
from podagent.daemon.podtable import PodTable
from podagent.daemon.workqueue import WorkQueue
from podagent.kube.api import KubeApi
from podagent.kube.registration import Registration
from podagent.model import PodKey
from podagent.state.store import Store


class Runtime(Protocol):
    """The container runtime. `about`: which one there is, and why; or why there is none."""

    about: str


class Status:
    """Reads the state of other parts without changing it."""

    def __init__(
        self,
        api: KubeApi,
        following: Following,
        registration: Registration,
        pods: PodTable,
        store: Store,
        node: NodeWatch,
        queue: WorkQueue[PodKey],
        runtime: Runtime,
    ) -> None:
        self._api = api
        self._following = following
        self._registration = registration
        self._pods = pods
        self._store = store
        self._node = node
        self._queue = queue
        self._runtime = runtime

    def line(self) -> str:
        """The state of the agent in one line."""
        trouble = "; ".join(filter(None, (self._store.trouble, self._node.trouble)))
        return f"Degraded: {trouble}; {self._progress()}" if trouble else self._progress()

    def _progress(self) -> str:
        if not self._store.loaded:
            return f"Loading the records of attachments: {len(self._store)} so far"
        if self._following.waiting_for:
            return f"Waiting for credentials: {self._following.waiting_for}"
        if not self._pods.synced:
            return f"Waiting for the list of pods from {self._api.server}"
        if self._registration.doubt and not self._pods.keys():
            return f"No pods: {self._registration.doubt}"
        detaching, doubted = self._store.detaching, self._pods.doubted
        attachments, busy = len(self._store) - detaching, len(self._queue)
        status = f"{len(self._pods.keys())} pods, {attachments} attachments, {busy} pods in progress"
        status += f", {detaching} more attachments to be detached" if detaching else ""
        status += f", {doubted} pods missing from the list until another list confirms it" if doubted else ""
        return f"{status}; {self._runtime.about}"
