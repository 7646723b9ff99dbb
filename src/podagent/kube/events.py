"""Posts Events (core/v1) about pods.

Events are best effort: emitting never blocks, and an Event that cannot be written is dropped, not retried.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Protocol

from podagent.decide.budget import Budgets, TokenBucket
from podagent.errors import ApiError, KubeconfigError
from podagent.foreign import Json
from podagent.kube.api import api_path
from podagent.kube.fairqueue import FairQueue
from podagent.model import Pod

_log = logging.getLogger(__name__)

# The reference client's spam filter per object: a burst of 25, then one per five minutes (client-go, EventCorrelator).
_OBJECT_BURST, _OBJECT_PER_SECOND = 25, 1 / 300
# All pods of a namespace share this.
_NAMESPACE_BURST, _NAMESPACE_PER_SECOND = 300, 1.0
# For all objects together: during a burst of attachments, the CPU is needed elsewhere.
_BURST, _PER_SECOND = 5, 5.0
_LONGEST_QUEUE = 512
_MOST_REMEMBERED = 1024
_LONGEST_MESSAGE = 1024  # bytes, the API server's limit
_LONGEST_NAME = 253
_WAKE_S = 5.0


class EventApi(Protocol):
    """The requests that Events need."""

    def post(self, path: str, body: Json) -> Json: ...

    def patch(self, path: str, body: Json) -> Json: ...


@dataclass(frozen=True)
class _PodRef:
    """The pod object of an Event; `object_uid` is its ``metadata.uid``, also for a mirror pod."""

    namespace: str
    name: str
    object_uid: str


@dataclass(frozen=True)
class _Notice:
    pod: _PodRef
    type: str
    reason: str
    message: str


@dataclass
class _Written:
    path: str
    count: int


class EventRecorder:
    """Writes Events in its own thread (`run`). `emit` is thread-safe."""

    def __init__(
        self,
        api: EventApi,
        node: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """`clock`: monotonic seconds, for rate limits; `wall_clock`: seconds since the epoch, for timestamps."""
        self._api = api
        self._node = node
        self._wall_clock = wall_clock
        self._queue: FairQueue[_Notice] = FairQueue(_LONGEST_QUEUE)
        self._rate = TokenBucket(_BURST, _PER_SECOND, clock)
        self._budgets = Budgets(_OBJECT_BURST, _OBJECT_PER_SECOND, clock, _MOST_REMEMBERED)
        self._namespaces = Budgets(_NAMESPACE_BURST, _NAMESPACE_PER_SECOND, clock, _MOST_REMEMBERED)
        self._written: OrderedDict[_Notice, _Written] = OrderedDict()
        self._sequence = 0
        self._warned = False

    def emit(self, pod: Pod, event_type: str, reason: str, message: str) -> None:
        """Queues an Event without blocking; if the queue is full, one of the namespace with the most is dropped.

        Args:
            event_type: ``Normal`` or ``Warning``.
            reason: one CamelCase word.
            message: a sentence; truncated to 1024 bytes.
        """
        ref = _PodRef(pod.key.namespace, pod.key.name, pod.object_uid)
        if not self._queue.put(ref.namespace, _Notice(ref, event_type, reason, _shortened(message))):
            _log.debug("too many Events waiting: one was dropped")

    def run(self, stop: threading.Event) -> None:
        """Writes Events until `stop` is set; drops the rest of the queue."""
        while not stop.is_set():
            self.run_once(stop, _WAKE_S)

    def run_once(self, stop: threading.Event, timeout_s: float) -> bool:
        """Processes the next Event; returns False if there was none for `timeout_s` seconds."""
        notice = self._queue.get(timeout_s)
        if notice is None:
            return False
        if self._budgets.allows(notice.pod) and self._namespaces.allows(notice.pod.namespace):
            self._write_in_turn(notice, stop)
        return True

    def _write_in_turn(self, notice: _Notice, stop: threading.Event) -> None:
        while wait_s := self._rate.take():
            if stop.wait(wait_s):
                return
        try:
            self._write(notice)
        except (ApiError, KubeconfigError) as error:
            self._note_failure(notice, error)

    def _write(self, notice: _Notice) -> None:
        written = self._written.get(notice)
        if written is not None and self._repeat(written):
            self._written.move_to_end(notice)
            return
        self._written[notice] = _Written(self._create(notice), 1)
        self._written.move_to_end(notice)
        if len(self._written) > _MOST_REMEMBERED:
            self._written.popitem(last=False)

    def _repeat(self, written: _Written) -> bool:
        """Increments the count; returns False if the Event has expired on the server (after an hour by default)."""
        try:
            self._api.patch(written.path, {"count": written.count + 1, "lastTimestamp": self._now()})
        except ApiError as error:
            if error.status == 404:
                return False
            raise
        written.count += 1
        return True

    def _create(self, notice: _Notice) -> str:
        body = self._event(notice)
        collection = api_path("api", "v1", "namespaces", notice.pod.namespace, "events")
        self._api.post(collection, body)
        return collection + api_path(body["metadata"]["name"])

    def _event(self, notice: _Notice) -> Json:
        now = self._now()
        pod = notice.pod
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"namespace": pod.namespace, "name": self._name(pod)},
            "involvedObject": {
                "apiVersion": "v1",
                "kind": "Pod",
                "namespace": pod.namespace,
                "name": pod.name,
                "uid": pod.object_uid,
            },
            "type": notice.type,
            "reason": notice.reason,
            "message": notice.message,
            "source": {"component": "podagent", "host": self._node},
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }

    def _name(self, pod: _PodRef) -> str:
        self._sequence += 1
        suffix = f".{int(self._wall_clock() * 1e9) + self._sequence:x}"
        return pod.name[: _LONGEST_NAME - len(suffix)].rstrip("-.") + suffix

    def _now(self) -> str:
        return datetime.fromtimestamp(self._wall_clock(), timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")

    def _note_failure(self, notice: _Notice, error: ApiError | KubeconfigError) -> None:
        status = error.status if isinstance(error, ApiError) else 0
        about = f"{notice.reason} for {notice.pod.namespace}/{notice.pod.name}"
        # A namespace in termination rejects all new objects: that needs no action.
        if status == 403 and not self._warned and "being terminated" not in str(error):
            self._warned = True
            _log.warning(
                "Events cannot be written; let podagent create and patch events: apply"
                " podagent-serviceaccount-and-rbac.yaml. Logged once. %s: %s",
                about,
                error,
            )
        else:
            _log.debug("Event %s dropped: %s", about, error)


def _shortened(message: str) -> str:
    encoded = message.encode("utf-8", "replace")
    return encoded[:_LONGEST_MESSAGE].decode("utf-8", "ignore")
