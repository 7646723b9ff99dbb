"""Follows the objects of a `Feed` indefinitely: a complete list, then every change, across all server failures.

It lists, watches, resumes and waits according to `policy`; it stores no objects and does not interpret them.
"""

from __future__ import annotations

import contextlib
import logging
import random
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from podagent.act.ports import Beat
from podagent.errors import ApiError, KubeconfigError
from podagent.kube.api import KubeApi
from podagent.kube.backoff import Backoff
from podagent.kube.contact import Contact
from podagent.kube.feed import Event, Feed, GarbledWatch, Item, Listing, parse_event, watch
from podagent.kube.podlist import pods_of
from podagent.kube.policy import POLICY, Failure, Next, Pause, what_ended
from podagent.kube.stream import LineStream
from podagent.model import Pod

_log = logging.getLogger(__name__)

# Allowed delay of a thread on a busy node before it counts as stuck.
_GRACE_S = 10.0


_Received_contra = TypeVar("_Received_contra", contravariant=True)


class Sink(Protocol[_Received_contra]):
    """Receives the items."""

    @property
    def confirmed(self) -> bool:
        """Whether the last list is believed. If not, another one is read soon."""

    def replace(self, items: Iterable[_Received_contra], /) -> None:
        """Handles a list. Only its end shows that it is complete: the iteration may raise ApiError, to be passed on."""

    def upsert(self, item: _Received_contra, /) -> None:
        """Handles a new or changed item."""

    def remove(self, item: _Received_contra, /) -> None:
        """Handles an item that was deleted, or that the selector no longer selects."""


class Reporter(Protocol):
    """Reports whether the server answers."""

    @property
    def is_lost(self) -> bool: ...

    def lost(self, failure: Failure) -> None: ...

    def made(self) -> None: ...


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


class Watch(Generic[Item]):
    """Follows a feed for a `Sink`. `run` is a thread body; `close` may be called from another thread."""

    def __init__(
        self,
        api: KubeApi,
        feed: Feed[Item],
        sink: Sink[Item],
        beat: Beat,
        contact: Reporter,
        *,
        leads: bool,
        rng: random.Random | None = None,
        clock: Callable[[], float] = time.monotonic,
        pace: Pace | None = None,
    ) -> None:
        """`leads`: it has the server checked before lists, and renews credentials and idle connections. One does."""
        self._api = api
        self._feed = feed
        self._sink = sink
        self._beat = beat
        self._contact = contact
        self._leads = leads
        self._rng = rng or random.Random()  # noqa: S311 - spreads load, protects nothing
        self._clock = clock
        self._pace = pace or Pace()
        self._backoff = Backoff(self._rng, self._pace.retry_first_s, self._pace.retry_cap_s)
        self._empty = True
        self._version = ""
        self._lifetime_s = 0.0
        self._listed_from = ""  # resource versions are only valid on the server that issued them
        self._watched = False  # a watch has started since the last list was requested
        self._garbled = False  # a watch was garbled, and none has lasted since
        self._watching_since: float | None = None
        self._stream: LineStream | None = None

    def run(self, stop: threading.Event) -> None:
        """Follows the feed until `stop` is set."""
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
        self._announce_request()
        try:
            if not self._version or self._api.server != self._listed_from:
                self._list()
            self._before_watch()
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
        if step.drop_idle and self._leads:
            self._api.close()
        if step.reload and self._leads:
            with contextlib.suppress(KubeconfigError):
                self._api.reload()
        if failure:
            self._report(step, failure)

    def _report(self, step: Next, failure: Failure) -> None:
        if step.lost:
            self._contact.lost(failure)
        elif step.relist:
            _log.info("relisting the %s: %s", self._feed.what, failure)
        else:
            _log.info("the watch of %s broke, resuming it: %s", self._feed.what, failure)

    def _pause(self, step: Next, failure: Failure | None) -> float:
        if step.pause is Pause.NEVER:
            return 0.0
        asked_s = failure.retry_after if isinstance(failure, ApiError) else None
        return min(self._backoff.next(asked_s, first_free=step.pause is Pause.UNLESS_FIRST), step.longest_s)

    def _list(self) -> None:
        self._watched = False
        if self._leads:
            self._api.distrust()
        listing = Listing(self._api, self._feed, self._pace.page_size, before_page=self._announce_request)
        self._sink.replace(listing)
        _log.info("%d %s are listed", listing.count, self._feed.what)
        self._empty = self._empty and not listing.count
        self._version, self._listed_from = listing.version, self._api.server

    def _follow(self, stop: threading.Event) -> None:
        bounds = self._pace.lifetime_s if self._sink.confirmed else (self._pace.confirm_s, self._pace.confirm_s)
        self._lifetime_s = lifetime_s = max(1, round(self._rng.uniform(*bounds)))
        read_timeout_s = lifetime_s + self._pace.slack_s
        self._announce_request()
        with watch(self._api, self._feed, self._version, lifetime_s, read_timeout_s) as stream:
            self._stream, lines = stream, iter(stream)
            self._watching_since, self._watched = self._clock(), True
            self._contact.made()
            try:
                # Checked before every read, even the first: `close` may have been called before there was a stream.
                while not stop.is_set():
                    self._beat.working(stream.patience_s + _GRACE_S)
                    if (line := next(lines, None)) is None:
                        break
                    self._apply(parse_event(line, self._feed))
            finally:
                self._stream = None

    def _before_watch(self) -> None:
        """Raises ApiError."""

    def _announce_request(self) -> None:
        self._beat.working(self._api.patience_s + _GRACE_S)

    def _apply(self, event: Event[Item]) -> None:
        if event.item is not None:
            if event.kind in ("ADDED", "MODIFIED"):
                self._empty = False
                self._sink.upsert(event.item)
            elif event.kind == "DELETED":
                self._sink.remove(event.item)
        # Last: an event that was not passed on must be sent again.
        self._version = event.version or self._version


class PodWatch(Watch[Pod]):
    """Follows the pods of a node; the leading watch of the agent."""

    def __init__(
        self,
        api: KubeApi,
        node: str,
        sink: Sink[Pod],
        beat: Beat,
        *,
        rng: random.Random | None = None,
        clock: Callable[[], float] = time.monotonic,
        pace: Pace | None = None,
        while_empty: Callable[[], None] = lambda: None,
    ) -> None:
        """`while_empty`: called before every watch until there was a pod; at most two requests. Raises ApiError."""
        contact = Contact(lambda: api.server, clock)
        super().__init__(api, pods_of(node), sink, beat, contact, leads=True, rng=rng, clock=clock, pace=pace)
        self._while_empty = while_empty

    def _before_watch(self) -> None:
        if self._empty:
            self._beat.working(2 * self._api.patience_s + _GRACE_S)
            self._while_empty()
