"""One watch request of the API stand-in: which events are sent, and when. Sends through a `Wire`; does no I/O."""

from __future__ import annotations

import time
from typing import Any, Protocol

from lab.apierrors import ApiFailure
from lab.apirequest import Target, selects, version_of
from lab.apistore import Store

Json = dict[str, Any]

_DEFAULT_SECONDS = 1800.0
_LAST_BOOKMARK_BEFORE_END = 2.0
_POLL_SECONDS = 0.5


class Wire(Protocol):
    """The connection the watch is sent on."""

    silenced: bool
    close_connection: bool

    @property
    def gone(self) -> bool: ...

    def send_event(self, kind: str, obj: Json, *, may_truncate: bool = True) -> None: ...

    def stay_silent(self) -> None: ...


class Watch:
    """From the objects of now, or from the version asked for, until the time is up or the client has gone."""

    def __init__(
        self, wire: Wire, store: Store, query: dict[str, str], target: Target, bookmark_seconds: float
    ) -> None:
        """ApiFailure when the query cannot be understood."""
        self._wire = wire
        self._store = store
        self._target = target
        self._selects = selects(query, target)
        self._version = version_of(query)
        seconds = float(query.get("timeoutSeconds") or _DEFAULT_SECONDS)
        started = time.monotonic()
        self._ends = started + seconds
        self._bookmarks = query.get("allowWatchBookmarks", "").lower() in ("1", "true")
        self._bookmark_seconds = bookmark_seconds
        self._next_bookmark = started + min(bookmark_seconds, seconds - _LAST_BOOKMARK_BEFORE_END)

    def run(self) -> None:
        try:
            if self._version:
                self._store.changes_after(self._target.resource, self._version, starting=True)
            else:
                self._send_present()
            while time.monotonic() < self._ends and not self._wire.gone:
                if self._wire.silenced:
                    self._wire.stay_silent()
                    return
                self._send_changes()
                self._bookmark_if_due()
        except ApiFailure as failure:
            self._wire.send_event("ERROR", failure.status())

    def _send_present(self) -> None:
        items, self._version = self._store.snapshot(self._target.resource)
        for obj in filter(self._selects, items):
            self._wire.send_event("ADDED", obj)

    def _send_changes(self) -> None:
        resource = self._target.resource
        with self._store.changed:
            changes = self._store.changes_after(resource, self._version)
            if not changes:
                self._store.changed.wait(max(0.0, min(self._ends, self._next_wake()) - time.monotonic()))
                changes = self._store.changes_after(resource, self._version)
        for change in changes:
            self._version = change.version
            seen = change.seen_by(self._selects)
            if seen and not self._wire.close_connection:
                self._wire.send_event(*seen)

    def _next_wake(self) -> float:
        soon = time.monotonic() + _POLL_SECONDS
        return min(soon, self._next_bookmark) if self._bookmarks else soon

    def _bookmark_if_due(self) -> None:
        now = time.monotonic()
        if not self._bookmarks or now < self._next_bookmark or self._wire.close_connection:
            return
        resource = self._target.resource
        with self._store.changed:
            # Under the lock, so that the bookmark cannot name a version with a change that was not sent.
            if self._store.changes_after(resource, self._version):
                return
            self._version = self._store.version
        metadata = {"resourceVersion": str(self._version), "creationTimestamp": None}
        bookmark = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata}
        self._wire.send_event("BOOKMARK", bookmark, may_truncate=False)
        last = self._ends - _LAST_BOOKMARK_BEFORE_END
        self._next_bookmark = min(now + self._bookmark_seconds, last) if now < last else float("inf")
