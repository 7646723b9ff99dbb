"""Follows the pods of the node once credentials exist: the service may start before its kubeconfig is copied."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from podagent.errors import KubeconfigError
from podagent.kube.api import KubeApi
from podagent.kube.watch import PodWatch
from podagent.messages import Message

_log = logging.getLogger(__name__)

_POLL_S = 1.0


class Following:
    """A thread body.

    Attributes:
        waiting_for: the problem with the credentials, "" if there is none.
    """

    def __init__(self, api: KubeApi, watch: PodWatch, changed: Callable[[], None], poll_s: float = _POLL_S) -> None:
        """`changed`: called after `waiting_for` has changed."""
        self._api = api
        self._watch = watch
        self._changed = changed
        self._poll_s = poll_s
        self.waiting_for = ""

    def run(self, stop: threading.Event) -> None:
        """Waits for usable credentials, then follows the pods."""
        while not self._loaded():
            if stop.wait(self._poll_s):
                return
        self._watch.run(stop)

    def _loaded(self) -> bool:
        try:
            self._api.reload()
        except KubeconfigError as error:
            if str(error) != self.waiting_for:
                _log.warning("waiting for credentials: %s", error, extra=Message.CREDENTIALS_MISSING.field)
            self._set_waiting_for(str(error))
            return False
        self._set_waiting_for("")
        return True

    def _set_waiting_for(self, what: str) -> None:
        if what != self.waiting_for:
            self.waiting_for = what
            self._changed()


def once(ready: threading.Event, body: Callable[[threading.Event], None]) -> Callable[[threading.Event], None]:
    """Wraps a thread body: it runs once `ready` is set, which must be set at the end of the agent too."""

    def wait_and_run(stop: threading.Event) -> None:
        ready.wait()
        body(stop)

    return wait_and_run
