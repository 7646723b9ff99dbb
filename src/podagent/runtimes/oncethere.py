"""Loads the client of the node's runtime once that is found, so that no node pays for the others' libraries."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Protocol

from podagent.act.ports import Hints, Runtime, Stop
from podagent.errors import RuntimeUnavailable, SandboxNotFound
from podagent.messages import Message
from podagent.model import CniDirectories, PodKey, Sandbox
from podagent.runtimes.discovery import Found

_log = logging.getLogger(__name__)

_POLL_S = 1.0
_KEPT_S = 60.0
_LONGEST_PAUSE_S = 10.0
_MOST_DOUBLINGS = 5  # up to 16 minutes

Search = Callable[[], Found]


class Client(Runtime, Protocol):
    """The client of one runtime."""

    def cni_directories(self) -> CniDirectories:
        """Where the CNI of the runtime is, as far as it tells. Raises RuntimeUnavailable."""


Load = Callable[[Found], Client]


class OnceThere:
    """Thread-safe. Only the thread that follows searches: the others would wait for a socket that hangs.

    Attributes:
        about: which runtime there is, and why that one; or why there is none.
        cni: where the CNI of the runtime is; None until there is one.
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
        self._client: Client | None = None
        self._found: Found | None = None
        self._away_since: float | None = None
        self._guessed = 0
        self._has_pods = False
        self._look_again = self._ask_again = 0.0
        self.about = ""
        self.cni: CniDirectories | None = None
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
        self._away_since, self._has_pods = None, True
        return sandbox

    def follow(self, hints: Hints, stop: Stop) -> None:
        """See `Runtime`. One that has been away for long, or that was a guess, is searched for again."""
        while not stop.is_set():
            if client := self._client:
                client.follow(hints, _Either(stop, partial(self._has_replaced, client)))
            elif not self._look():
                stop.wait(self._look_again - self._clock())

    def _has_replaced(self, client: Client) -> bool:
        """Looks again if there is a doubt. One that is found again is followed without a break."""
        now = self._clock()
        if now > self._look_again or self._is_away(now):
            self._look()
        elif now > self._ask_again:
            self._ask(client)
        return self._client is not client

    def _is_away(self, now: float) -> bool:
        since = self._away_since
        return since is not None and now - since > self._kept_s

    def _look(self) -> bool:
        began = self._clock()
        try:
            found = self._better_than_present(self._search())
            client = self._client if self._client and found == self._found else self._load(found)
            cni = client.cni_directories()
        except RuntimeUnavailable as error:
            if str(error) != self.about:
                _log.warning("%s; trying again", error, extra=Message.RUNTIME_LOST.field)
            self.about, now = str(error), self._clock()
            if self._is_away(now):
                self._away_since, self._has_pods = None, False
            # A search starts processes: it may take a fiftieth of the processor.
            self._look_again = now + min(_LONGEST_PAUSE_S, max(self._poll_s, 50 * (now - began)))
            return False
        self.cni, self._found, self._client = cni, found, client  # in this order: lookups lead to calls of plugins
        self._ask_again = self._clock() + self._kept_s
        if (about := f"container runtime: {found}") != self.about:
            _log.info("%s", about)
        self._away_since, self.about, self._has_pods = None, about, False
        self._guessed = min(self._guessed + 1, _MOST_DOUBLINGS) if found.guessed else 0
        # Ever less often: most kubelets start soon. A kubelet may get another runtime, too.
        self._look_again = self._clock() + self._kept_s * 2 ** (self._guessed or _MOST_DOUBLINGS) / 2
        return True

    def _better_than_present(self, found: Found) -> Found:
        """Another guess is no better while the present runtime has sandboxes of pods: it may serve something else."""
        keep = found.guessed and self._has_pods and not self._is_away(self._clock())
        return self._found if keep and self._found else found

    def _ask(self, client: Client) -> None:
        """A runtime may be restarted with other directories: each version of k3s has its own."""
        self._ask_again = self._clock() + self._kept_s
        with suppress(RuntimeUnavailable):
            self.cni = client.cni_directories()


class _Either:
    """Stops with `stop`, and when `ended` says so."""

    def __init__(self, stop: Stop, ended: Callable[[], bool]) -> None:
        self._stop = stop
        self._ended = ended

    def is_set(self) -> bool:
        return self._stop.is_set() or self._ended()

    def wait(self, timeout: float) -> bool:
        return self._stop.wait(timeout) or self._ended()
