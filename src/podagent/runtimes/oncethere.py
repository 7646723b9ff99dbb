"""Loads the client of a runtime once its socket exists, so that a node without that runtime saves the memory."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path

from podagent.act.ports import Runtime
from podagent.errors import RuntimeUnavailable
from podagent.messages import Message
from podagent.model import NetnsRef, PodKey, Sandbox

_log = logging.getLogger(__name__)

_POLL_S = 1.0

Identify = Callable[[str], NetnsRef]
Load = Callable[[str, Identify], Runtime]


class OnceThere:
    """Thread-safe."""

    def __init__(self, endpoint: str, load: Load, identify: Identify, poll_s: float = _POLL_S) -> None:
        """
        Args:
            endpoint: ``unix://`` URL of the socket.
            load: creates the client.
            identify: passed to `load`.
            poll_s: seconds between two checks for the socket.
        """
        self._endpoint = endpoint
        self._load = load
        self._identify = identify
        self._poll_s = poll_s
        self._lock = threading.Lock()
        self._loaded: Runtime | None = None
        if self._is_there():
            self._client()  # at startup, before the memory is tidied up after imports

    def find_sandbox(self, pod: PodKey) -> Sandbox:
        """See `Runtime`."""
        if not self._is_there():
            raise RuntimeUnavailable(self._absence)
        return self._client().find_sandbox(pod)

    def follow(self, changed: Callable[[PodKey], None], reconnected: Callable[[], None], stop: threading.Event) -> None:
        """See `Runtime`."""
        if not self._is_there():
            _log.warning("%s; trying again", self._absence, extra=Message.DOCKER_LOST.field)
        while not self._is_there():
            if stop.wait(self._poll_s):
                return
        self._client().follow(changed, reconnected, stop)

    def _is_there(self) -> bool:
        return self._loaded is not None or Path(self._endpoint.removeprefix("unix://")).exists()

    @property
    def _absence(self) -> str:
        return f"container runtime at {self._endpoint} does not answer: there is no such socket"

    def _client(self) -> Runtime:
        """The client, loaded if necessary. It handles a socket that vanishes again."""
        loaded = self._loaded
        if loaded is not None:
            return loaded
        with self._lock:
            if self._loaded is None:
                self._loaded = self._load(self._endpoint, self._identify)
            return self._loaded
