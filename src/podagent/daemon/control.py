"""The operator's interface to the running agent: the line in ``systemctl status``, and SIGHUP."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from podagent.daemon.following import Following
from podagent.daemon.podtable import PodTable
from podagent.daemon.rounds import Rounds
from podagent.daemon.workqueue import WorkQueue
from podagent.decide.attempts import Attempts
from podagent.errors import KubeconfigError
from podagent.kube.api import KubeApi
from podagent.model import PodKey
from podagent.state.store import Store

_log = logging.getLogger(__name__)


class Control:
    """Reads the state of other parts without changing it, except for reloads. `run` is a thread body."""

    def __init__(
        self,
        api: KubeApi,
        following: Following,
        pods: PodTable,
        store: Store,
        queue: WorkQueue[PodKey],
        attempts: Attempts,
        rounds: Rounds,
        reloaded: Callable[[], None],
    ) -> None:
        """`reloaded`: called after each reload."""
        self._api = api
        self._following = following
        self._pods = pods
        self._store = store
        self._queue = queue
        self._attempts = attempts
        self._rounds = rounds
        self._reloaded = reloaded
        self._wanted = threading.Event()

    def status(self) -> str:
        """The state of the agent in one line."""
        trouble = self._store.trouble
        return f"Degraded: {trouble}; {self._progress()}" if trouble else self._progress()

    def _progress(self) -> str:
        if not self._store.loaded:
            return f"Loading the records of attachments: {len(self._store)} so far"
        if self._following.waiting_for:
            return f"Waiting for credentials: {self._following.waiting_for}"
        if not self._pods.synced:
            return f"Waiting for the list of pods from {self._api.server}"
        status = f"{len(self._pods.keys())} pods, {len(self._store)} attachments, {len(self._queue)} pods in progress"
        doubted = self._pods.doubted
        return f"{status}, {doubted} pods missing from the list until another list confirms it" if doubted else status

    def reload_soon(self) -> None:
        """Has `run` reload the credentials, reset every backoff, and verify all pods. Returns at once."""
        self._wanted.set()

    def close(self) -> None:
        """Ends `run`, once its event is set."""
        self._wanted.set()

    def run(self, stop: threading.Event) -> None:
        """Reloads when it is asked to: an exec plugin may take its time."""
        while self._wanted.wait() and not stop.is_set():
            self._wanted.clear()
            self._reload()
            self._reloaded()

    def _reload(self) -> None:
        try:
            self._api.reload()
        except KubeconfigError as error:
            _log.error("reload: the old credentials stay in use: %s", error)
        self._attempts.retry_now()
        self._rounds.look_at_all()
        _log.info("reloaded")
