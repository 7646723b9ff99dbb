"""Loads the client of the node's runtime once that is found, so that no node pays for the others' libraries."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from functools import partial

from podagent.act.ports import Hints, Runtime, Stop
from podagent.errors import RuntimeUnavailable, SandboxNotFound
from podagent.messages import Message
from podagent.model import PodKey, Sandbox
from podagent.runtimes.discovery import Found

_log = logging.getLogger(__name__)

_POLL_S = 1.0
_KEPT_S = 60.0

Search = Callable[[], Found]
Load = Callable[[Found], Runtime]


class OnceThere:
    """Thread-safe. Only the thread that follows searches: the others would wait for a socket that hangs.

    Attributes:
        about: which runtime there is, and why that one; or why there is none.
    """

    def __init__(
        self,
        search: Search,
        load: Load,
        poll_s: float = _POLL_S,
        kept_s: float = _KEPT_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            search: finds the runtime. Raises RuntimeUnavailable.
            load: creates its client.
            poll_s: seconds between two searches.
            kept_s: how long a runtime may be away before another one is searched for.
        """
        self._search = search
        self._load = load
        self._poll_s = poll_s
        self._kept_s = kept_s
        self._clock = clock
        self._client: Runtime | None = None
        self._found: Found | None = None
        self._away_since: float | None = None
        self._guessed = 0
        self._look_again = 0.0
        self.about = ""
        self._look()  # at startup, before the memory is tidied up after imports

    def find_sandbox(self, pod: PodKey) -> Sandbox:
        """See `Runtime`."""
        client = self._client
        if client is None:
            raise RuntimeUnavailable(self.about)
        try:
            sandbox = client.find_sandbox(pod)
        except RuntimeUnavailable:
            if self._away_since is None:
                self._away_since = self._clock()
            raise
        except SandboxNotFound:
            self._away_since = None
            raise
        self._away_since = None
        return sandbox

    def follow(self, hints: Hints, stop: Stop) -> None:
        """See `Runtime`. One that has been away for long, or that was a guess, is searched for again."""
        while not stop.is_set():
            if client := self._client:
                client.follow(hints, _Either(stop, partial(self._has_replaced, client)))
            elif not self._look():
                stop.wait(self._poll_s)

    def _has_replaced(self, client: Runtime) -> bool:
        """Looks again if there is a doubt. One that is found again is followed without a break."""
        now, since = self._clock(), self._away_since
        if now > self._look_again or (since is not None and now - since > self._kept_s):
            self._look()
        return self._client is not client

    def _look(self) -> bool:
        try:
            found = self._search()
        except RuntimeUnavailable as error:
            if str(error) != self.about:
                _log.warning("%s; trying again", error, extra=Message.RUNTIME_LOST.field)
            self._away_since, self.about = None, str(error)
            self._look_again = self._clock() + self._poll_s
            return False
        if found != self._found:
            self._client, self._found = self._load(found), found
        if (about := f"container runtime: {found}") != self.about:
            _log.info("%s", about)
        self._away_since, self.about = None, about
        self._guessed = self._guessed + 1 if found.guessed else 0  # ever less often: most kubelets start soon
        self._look_again = self._clock() + self._kept_s * 2**self._guessed / 2 if found.guessed else math.inf
        return True


class _Either:
    """Stops with `stop`, and when `ended` says so."""

    def __init__(self, stop: Stop, ended: Callable[[], bool]) -> None:
        self._stop = stop
        self._ended = ended

    def is_set(self) -> bool:
        return self._stop.is_set() or self._ended()

    def wait(self, timeout: float) -> bool:
        return self._stop.wait(timeout) or self._ended()
