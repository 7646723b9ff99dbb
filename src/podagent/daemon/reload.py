"""Applies changes while the agent runs: everything on SIGHUP; a replaced kubeconfig without being asked."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from podagent.daemon.nodewatch import NodeWatch
from podagent.errors import KubeconfigError
from podagent.kube.api import KubeApi

_log = logging.getLogger(__name__)

_LOOK_EVERY_S = 15.0


class Reload:
    """`run` is a thread body of its own: an exec plugin may take its time."""

    def __init__(
        self,
        api: KubeApi,
        node: NodeWatch,
        retry_all: Callable[[], None],
        done: Callable[[], None],
        look_every_s: float = _LOOK_EVERY_S,
    ) -> None:
        """
        Args:
            retry_all: resets every backoff, and verifies all pods.
            done: called after each reload that was asked for.
            look_every_s: seconds between two looks at the kubeconfig.
        """
        self._api = api
        self._node = node
        self._retry_all = retry_all
        self._done = done
        self._look_every_s = look_every_s
        self._wanted = threading.Event()

    def soon(self) -> None:
        """Has `run` reload the credentials, look at the node's configuration, and retry everything. Returns at once."""
        self._wanted.set()

    def close(self) -> None:
        """Wakes `run`; set its `stop` first."""
        self._wanted.set()

    def run(self, stop: threading.Event) -> None:
        """Reloads when it is asked to, and loads a kubeconfig that was replaced, until `stop`."""
        while not stop.is_set():
            if not self._wanted.wait(self._look_every_s):
                self._api.refresh()
            elif not stop.is_set():
                self._wanted.clear()
                self._reload()
                self._done()

    def _reload(self) -> None:
        try:
            self._api.reload()
        except KubeconfigError as error:
            _log.error("reload: the old credentials stay in use: %s", error)
        self._node.look()
        self._retry_all()
        _log.info("reloaded")
