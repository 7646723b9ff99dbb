"""Network definitions by reference: read once, and again after a change. `resolve` interprets them.

A definition that was read is used for every pod whose request for networks was received before that reading, until the
watch reports a change. So no pod gets a form older than its request, however late the watch is (decision 28).
"""

from __future__ import annotations

import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable
from http import HTTPStatus
from typing import NamedTuple

from podagent.errors import ApiError, DefinitionError
from podagent.foreign import Json, lenient
from podagent.kube.api import KubeApi
from podagent.model import DefinitionRef
from podagent.validate import is_dns1123_label, is_dns1123_subdomain

# While nothing is followed. Many pods may want a network that does not exist.
_MISSING_S = 1.0
# Tenants write definitions: others are read whenever they are needed.
_MOST_KEPT, _LARGEST_KEPT = 1024, 4 << 10
_LONGEST_VERSION = 64
_BATCH = 500


class Seen(NamedTuple):
    """A definition that a list or an event has shown, in its current version."""

    reference: DefinitionRef
    version: str


class _Known(NamedTuple):
    """The answer to a reading. `definition` is None if there was none; `read_at`: when it was requested."""

    version: str
    definition: Json | None
    read_at: float


def require_possible(reference: DefinitionRef) -> None:
    """Raises DefinitionError if no object can have that name."""
    if not is_dns1123_label(reference.namespace) or not is_dns1123_subdomain(reference.name):
        raise DefinitionError(f"network definition {str(reference)!r}: no object can have that name")


class NetworkDefinitions:
    """Thread-safe. The sink of the watch of definitions.

    Attributes:
        followed: the watch reports changes. Otherwise each definition is read when it is needed, and only that there
            is none is remembered for a second.
    """

    confirmed = True

    def __init__(
        self,
        api: KubeApi,
        changed: Callable[[Collection[DefinitionRef]], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`changed`: called with definitions that are new, or changed, or may be."""
        self._api = api
        self._changed = changed
        self._clock = clock
        self._lock = threading.Lock()
        self._known: OrderedDict[DefinitionRef, _Known] = OrderedDict()
        self._readings: dict[object, DefinitionRef] = {}  # under way, and still of the current version
        self.followed = False

    def read(self, reference: DefinitionRef, since: float) -> Json | None:
        """The object, or its part that matters; None if it does not exist.

        Args:
            since: when it was requested, in seconds of the clock. The answer is no older.

        Raises:
            DefinitionError: the name is invalid.
            ApiError: the API server rejected the request or is unreachable.
        """
        require_possible(reference)
        began, reading = self._clock(), object()
        with self._lock:
            known = self._known.get(reference)
            if known is not None and known.read_at >= since and self._still_holds(known, began):
                self._known.move_to_end(reference)
                return known.definition
            self._readings[reading] = reference
        try:
            definition = self._ask(reference)
        except BaseException:
            with self._lock:
                self._readings.pop(reading, None)
            raise
        with self._lock:
            if self._readings.pop(reading, None) is not None:
                self._keep(reference, definition, began)
        return definition

    def replace(self, listed: Iterable[Seen], /) -> None:
        """Forgets what was read in another version than the listed one. Raises ApiError."""
        confirmed: set[DefinitionRef] = set()
        batch: list[DefinitionRef] = []
        for seen in listed:
            if self._is_known(seen):
                confirmed.add(seen.reference)
            else:
                batch.append(seen.reference)
            if len(batch) == _BATCH:
                self._forget_changed(batch)
                batch = []
        self._forget_changed(batch)
        with self._lock:
            self._readings.clear()  # of definitions that the list lacks
            gone = [each for each, known in self._known.items() if known.definition and each not in confirmed]
            for reference in gone:
                del self._known[reference]

    def upsert(self, seen: Seen, /) -> None:
        """Handles a new or changed definition."""
        if not self._is_known(seen):
            self._forget([seen.reference])
        self._changed([seen.reference])

    def remove(self, seen: Seen, /) -> None:
        """Handles a deleted definition. Attachments have the configuration in their records."""
        self._forget([seen.reference])

    def _ask(self, reference: DefinitionRef) -> Json | None:
        try:
            return self._api.get(reference.path)
        except ApiError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return None
            raise

    def _still_holds(self, known: _Known, now: float) -> bool:
        return self.followed or (known.definition is None and now - known.read_at < _MISSING_S)

    def _is_known(self, seen: Seen) -> bool:
        with self._lock:
            known = self._known.get(seen.reference)
            return known is not None and known.version == seen.version

    def _forget_changed(self, references: Collection[DefinitionRef]) -> None:
        self._forget(references)
        self._changed(references)

    def _forget(self, references: Collection[DefinitionRef]) -> None:
        with self._lock:
            for reference in references:
                self._known.pop(reference, None)
            for reading in [each for each, reference in self._readings.items() if reference in references]:
                del self._readings[reading]

    def _keep(self, reference: DefinitionRef, definition: Json | None, began: float) -> None:
        self._known.pop(reference, None)
        known = _compact(definition, began)
        if known is not None:
            self._known[reference] = known
            if len(self._known) > _MOST_KEPT:
                self._known.popitem(last=False)


def _compact(definition: Json | None, began: float) -> _Known | None:
    """What is kept of an answer, None if it is malformed or too large to be kept."""
    if definition is None:
        return _Known("", None, began)
    spec = lenient(definition, "spec", dict)
    parts = {key: lenient(spec, key, str) for key in ("plugin", "config")}
    version = lenient(lenient(definition, "metadata", dict), "resourceVersion", str)
    if not all(parts.values()) or not 0 < len(version) <= _LONGEST_VERSION:
        return None
    return _Known(version, {"spec": parts}, began) if sum(map(sys.getsizeof, parts.values())) <= _LARGEST_KEPT else None
