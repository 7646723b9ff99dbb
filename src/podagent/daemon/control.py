"""The operator's interface to the running agent: the line in ``systemctl status``, and SIGHUP."""

from __future__ import annotations

import logging

from podagent.daemon.following import Following
from podagent.daemon.nodewatch import NodeWatch
from podagent.daemon.podtable import PodTable
from podagent.daemon.rounds import Rounds
from podagent.daemon.workqueue import WorkQueue
from podagent.decide.attempts import Attempts
from podagent.errors import KubeconfigError
from podagent.kube.api import KubeApi
from podagent.kube.registration import Registration
from podagent.model import PodKey
from podagent.state.store import Store

_log = logging.getLogger(__name__)


class Control:
    """Reads the state of other parts without changing it, except for `reload`."""

    def __init__(
        self,
        api: KubeApi,
        following: Following,
        registration: Registration,
        pods: PodTable,
        store: Store,
        node: NodeWatch,
        queue: WorkQueue[PodKey],
        attempts: Attempts,
        rounds: Rounds,
    ) -> None:
        self._api = api
        self._following = following
        self._registration = registration
        self._pods = pods
        self._store = store
        self._node = node
        self._queue = queue
        self._attempts = attempts
        self._rounds = rounds

    def status(self) -> str:
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
        status = f"{len(self._pods.keys())} pods, {len(self._store)} attachments, {len(self._queue)} pods in progress"
        doubted = self._pods.doubted
        return f"{status}, {doubted} pods missing from the list until another list confirms it" if doubted else status

    def reload(self) -> None:
        """Reloads the credentials, looks at the node's configuration, resets every backoff, and verifies all pods."""
        try:
            self._api.reload()
        except KubeconfigError as error:
            _log.error("reload: the old credentials stay in use: %s", error)
        self._node.look()
        self._attempts.retry_now()
        self._rounds.look_at_all()
        _log.info("reloaded")
