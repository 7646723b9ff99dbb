"""Follows the pods of one node indefinitely: a complete list, then every change, across all server failures.

It lists, watches, resumes and waits according to `policy`; it stores no pods and does not interpret them.
"""

from __future__ import annotations

import contextlib
import logging
import random
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from podagent.act.ports import Beat
from podagent.errors import ApiError, KubeconfigError
from podagent.kube.api import KubeApi
from podagent.kube.backoff import Backoff
from podagent.kube.contact import Contact
from podagent.kube.podlist import Event, GarbledWatch, list_pods, parse_event, watch_pods
from podagent.kube.policy import POLICY, Failure, Next, Pause, what_ended
from podagent.kube.remedies import kind, remedy
from podagent.kube.stream import LineStream
from podagent.model import Pod

_log = logging.getLogger(__name__)

# Allowed delay of a thread on a busy node before it counts as stuck.
_GRACE_S = 10.0


class PodSink(Protocol):
    """Receives the pods."""

    @property
    def confirmed(self) -> bool:
        """Whether the last list is believed. If not, another one is read soon."""

    def replace(self, pods: Iterable[Pod]) -> None:
        """Handles a complete list."""

    def upsert(self, pod: Pod) -> None:
        """Handles a new or changed pod."""

    def remove(self, pod: Pod) -> None:
        """Handles a pod that was deleted, ended, or is no longer on this node."""


@dataclass(frozen=True)
class Pace:
    """Timing of a watch. The defaults detect a silent connection within 45 s.

    Attributes:
        lifetime_s: bounds of the random lifetime of a watch; the jitter spreads the load of many nodes.
        confirm_s: lifetime of the watch between a list and the one that must confirm it.
        slack_s: how much a read timeout exceeds the lifetime.
        settled_s: a watch that lasted this long (or half its lifetime) was good: earlier failures no longer count.
        page_size: pods per page of a list.
        retry_first_s: first delay after a failure.
        retry_cap_s: longest delay after a failure, unless the server requests a longer one.
    """

    lifetime_s: tuple[float, float] = (25.0, 35.0)
    confirm_s: float = 5.0
    slack_s: float = 10.0
    settled_s: float = 5.0
    page_size: int = 500
    retry_first_s: float = 1.0
    retry_cap_s: float = 30.0


class PodWatch:
    """Follows the pods of a node for a `PodSink`. `run` is a thread body; `close` may be called from another thread."""

    def __init__(
        self,
        api: KubeApi,
        node: str,
        sink: PodSink,
        beat: Beat,
        *,
        rng: random.Random | None = None,
        clock: Callable[[], float] = time.monotonic,
        pace: Pace | None = None,
        while_empty: Callable[[], None] = lambda: None,
    ) -> None:
        """`while_empty`: called before every watch until there was a pod; at most two requests. Raises ApiError."""
        self._api = api
        self._node = node
        self._sink = sink
        self._beat = beat
        self._rng = rng or random.Random()  # noqa: S311 - spreads load, protects nothing
        self._clock = clock
        self._pace = pace or Pace()
        self._backoff = Backoff(self._rng, self._pace.retry_first_s, self._pace.retry_cap_s)
        self._contact = Contact(lambda: api.server, clock)
        self._while_empty = while_empty
        self._empty = True
        self._version = ""
        self._lifetime_s = 0.0
        self._listed_from = ""  # resource versions are only valid on the server that issued them
        self._watched = False  # a watch has started since the last list was requested
        self._garbled = False  # a watch was garbled, and none has lasted since
        self._watching_since: float | None = None
        self._stream: LineStream | None = None

    def run(self, stop: threading.Event) -> None:
        """Follows the pods until `stop` is set."""
        while not stop.is_set():
            pause = self._session(stop)
            if pause and not stop.is_set():
                self._beat.working(pause + _GRACE_S)
                stop.wait(pause)
        self._beat.idle()

    def close(self) -> None:
        """Wakes `run` from a blocked read; set its `stop` first."""
        stream = self._stream
        if stream is not None:
            stream.abort()

    def _session(self, stop: threading.Event) -> float:
        """Runs one watch, after a list if there is no version to resume from. Returns the seconds to wait."""
        self._watching_since = None
        failure: Failure | None = None
        self._beat.working(self._api.patience_s + _GRACE_S)
        try:
            if not self._version or self._api.server != self._listed_from:
                self._list()
            if self._empty:
                self._beat.working(2 * self._api.patience_s + _GRACE_S)
                self._while_empty()
            self._follow(stop)
        except (ApiError, KubeconfigError) as error:
            failure = error
        if stop.is_set():
            return 0.0  # `close` broke the connection
        step = self._next_step(failure)
        self._carry_out(step, failure)
        return self._pause(step, failure)

    def _next_step(self, failure: Failure | None) -> Next:
        since = self._watching_since
        lasted = since is not None and self._clock() - since >= min(self._pace.settled_s, self._lifetime_s / 2)
        end = what_ended(
            failure,
            watching=since is not None,
            watched=self._watched,
            garbled_before=self._garbled,
            contact_lost=self._contact.is_lost,
        )
        return POLICY[end, lasted]

    def _carry_out(self, step: Next, failure: Failure | None) -> None:
        if step.forgive:
            self._backoff.reset()
        self._garbled = isinstance(failure, GarbledWatch) or (self._garbled and not step.forgive)
        if step.relist or not self._sink.confirmed:
            self._version = ""
        if step.drop_idle:
            self._api.close()
        if step.reload:
            with contextlib.suppress(KubeconfigError):
                self._api.reload()
        if failure:
            self._report(step, failure)

    def _report(self, step: Next, failure: Failure) -> None:
        if step.lost:
            self._contact.lost("; ".join(filter(None, (str(failure), remedy(failure)))), kind(failure))
        elif step.relist:
            _log.info("relisting the pods: %s", failure)
        else:
            _log.info("the watch broke, resuming it: %s", failure)

    def _pause(self, step: Next, failure: Failure | None) -> float:
        if step.pause is Pause.NEVER:
            return 0.0
        asked_s = failure.retry_after if isinstance(failure, ApiError) else None
        return min(self._backoff.next(asked_s, first_free=step.pause is Pause.UNLESS_FIRST), step.longest_s)

    def _list(self) -> None:
        self._watched = False
        self._api.distrust()
        listing = list_pods(
            self._api,
            self._node,
            self._pace.page_size,
            before_page=lambda: self._beat.working(self._api.patience_s + _GRACE_S),
        )
        _log.info("%d pods on node %s", len(listing.pods), self._node)
        self._empty = self._empty and not listing.pods
        self._sink.replace(listing.pods)
        self._version, self._listed_from = listing.version, self._api.server

    def _follow(self, stop: threading.Event) -> None:
        bounds = self._pace.lifetime_s if self._sink.confirmed else (self._pace.confirm_s, self._pace.confirm_s)
        self._lifetime_s = lifetime_s = max(1, round(self._rng.uniform(*bounds)))
        read_timeout_s = lifetime_s + self._pace.slack_s
        self._beat.working(self._api.patience_s + _GRACE_S)
        with watch_pods(self._api, self._node, self._version, lifetime_s, read_timeout_s) as stream:
            self._stream, lines = stream, iter(stream)
            self._watching_since, self._watched = self._clock(), True
            self._contact.made()
            try:
                # Checked before every read, even the first: `close` may have been called before there was a stream.
                while not stop.is_set():
                    self._beat.working(stream.patience_s + _GRACE_S)
                    if (line := next(lines, None)) is None:
                        break
                    self._apply(parse_event(line))
            finally:
                self._stream = None

    def _apply(self, event: Event) -> None:
        if event.pod and event.pod.key.name:
            if event.kind in ("ADDED", "MODIFIED"):
                self._empty = False
                self._sink.upsert(event.pod)
            elif event.kind == "DELETED":
                self._sink.remove(event.pod)
        # Last: an event that was not passed on must be sent again.
        self._version = event.version or self._version
