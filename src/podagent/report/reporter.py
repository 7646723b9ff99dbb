"""Tells users what happened: a log line with structured fields, and an Event on the pod, for what is worth knowing.

Decides nothing and never fails: what it is told has already happened.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection
from typing import Any, Protocol

from podagent.errors import NotYet, PodagentError
from podagent.messages import Message
from podagent.model import Attachment, Pod, PodKey, Record, result_addresses

_log = logging.getLogger("podagent")

# Topics beside those that are interface names.
_PROBLEMS = "problems"
_WAITING = "waiting"


class Events(Protocol):
    """Posts Events on pods, without ever making the caller wait."""

    def emit(self, pod: Pod, event_type: str, reason: str, message: str) -> None: ...


class Reporter:
    """Thread-safe. Says the same thing about the same pod only once in a row."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self._lock = threading.Lock()
        self._last_said: dict[PodKey, dict[str, object]] = {}

    def problems(self, pod: Pod, problems: Collection[str]) -> None:
        """Faults in the pod's annotation; an empty collection says that there are none now."""
        if self._repeats(pod.key, _PROBLEMS, tuple(problems)):
            return
        for problem in problems:
            fields = _fields(pod.key, RESULT="invalid") | Message.ANNOTATION_INVALID.field
            _log.error("pod %s: %s", pod.key, problem, extra=fields)
            self._events.emit(pod, "Warning", "NetworkAnnotationInvalid", problem)

    def waiting(self, pod: Pod, reason: PodagentError) -> None:
        """Nothing can be done for the pod at the moment."""
        if self._repeats(pod.key, _WAITING, str(reason)):
            return
        level = logging.DEBUG if isinstance(reason, NotYet) else logging.WARNING
        fields = _fields(pod.key, RESULT="waiting") | Message.SANDBOX_MISSING.field
        _log.log(level, "pod %s: waiting: %s", pod.key, reason, extra=fields)

    def sandbox_found(self, pod: Pod) -> None:
        """What the pod waited for is there; should it be lost again, that is news."""
        self._forget(pod.key, _WAITING)

    def keep_only(self, pod: PodKey, ifnames: Collection[str]) -> None:
        """Nothing is wanted or known of the pod's other interfaces any more."""
        with self._lock:
            topics = self._last_said.get(pod, {})
            left = [topic for topic in topics if topic not in ifnames and topic not in (_PROBLEMS, _WAITING)]
        for topic in left:
            self._forget(pod, topic)

    def drifted(self, pod: Pod, ifnames: Collection[str]) -> None:
        """Attached interfaces have vanished from the pod and are about to be attached again."""
        names = ", ".join(sorted(ifnames))
        message = f"interface {names} vanished from the pod and is attached again"
        fields = _fields(pod.key, RESULT="drifted") | Message.DRIFTED.field
        _log.warning("pod %s: %s", pod.key, message, extra=fields)
        self._events.emit(pod, "Warning", "NetworkDrifted", message)

    def inherited(self, record: Record) -> None:
        """An interface that another agent attached is ours from now on."""
        network, ifname = record.attachment.network, record.attachment.ifname
        fields = _fields(record.pod, network, ifname, RESULT="inherited") | Message.INHERITED.field
        message = "took over %s (network %s) of pod %s from the former podagent"
        _log.info(message, ifname, network, record.pod, extra=fields)

    def attached(self, pod: Pod, record: Record, seconds: float) -> None:
        """A network was attached, or its interface adopted."""
        network, ifname = record.attachment.network, record.attachment.ifname
        self._forget(pod.key, ifname)
        fields = _fields(pod.key, network, ifname, RESULT="adopted" if record.adopted else "attached")
        if record.adopted:
            _log.info("adopted %s (network %s) of pod %s: it was there already", ifname, network, pod.key, extra=fields)
            return
        addresses = " ".join(result_addresses(record.result)) or "no address"
        fields.update(CNI_COMMAND="ADD", DURATION_MS=_milliseconds(seconds))
        message = f"attached {ifname} (network {network}, {addresses})"
        _log.info("%s to pod %s in %d ms", message, pod.key, seconds * 1000, extra=fields)
        self._events.emit(pod, "Normal", "NetworkAttached", message)

    def detached(self, pod: Pod | None, record: Record, seconds: float) -> None:
        """A network was detached; the pod is None if it is gone."""
        network, ifname = record.attachment.network, record.attachment.ifname
        self._forget(record.pod, ifname)
        fields = _fields(record.pod, network, ifname, CNI_COMMAND="DEL", RESULT="detached")
        fields["DURATION_MS"] = _milliseconds(seconds)
        message = f"detached {ifname} (network {network})"
        _log.info("%s from pod %s in %d ms", message, record.pod, seconds * 1000, extra=fields)
        if pod is not None:
            self._events.emit(pod, "Normal", "NetworkDetached", message)

    def attach_failed(self, pod: Pod, attachment: Attachment, error: Exception, retry_in: float) -> None:
        """An attach failed and will be tried again in `retry_in` seconds."""
        what = f"attaching network {attachment.network} as {attachment.ifname}"
        self._failed(Message.ATTACH_FAILED, pod.key, attachment, f"{what} to pod {pod.key}", error, retry_in)
        self._emit_failure(pod, attachment, "NetworkAttachFailed", f"{what} failed: {_text(error)}")

    def detach_failed(self, pod: Pod | None, record: Record, error: Exception, retry_in: float) -> None:
        """A detach failed and will be tried again in `retry_in` seconds."""
        what = f"detaching {record.attachment.ifname} (network {record.attachment.network})"
        self._failed(
            Message.DETACH_FAILED, record.pod, record.attachment, f"{what} from pod {record.pod}", error, retry_in
        )
        if pod is not None:
            self._emit_failure(pod, record.attachment, "NetworkDetachFailed", f"{what} failed: {_text(error)}")

    def forget(self, pod: PodKey) -> None:
        """The pod is gone and cleaned up."""
        with self._lock:
            self._last_said.pop(pod, None)

    def _failed(
        self, id_: Message, pod: PodKey, attachment: Attachment, what: str, error: Exception, retry_in: float
    ) -> None:
        command = "ADD" if id_ is Message.ATTACH_FAILED else "DEL"
        fields = _fields(pod, attachment.network, attachment.ifname, CNI_COMMAND=command, RESULT="failed") | id_.field
        trace = None if isinstance(error, PodagentError) else error  # anything else is a bug: show where
        message = "%s failed, next try in %.0f s: %s"
        _log.error(message, what, retry_in, _text(error), extra=fields, exc_info=trace)

    def _emit_failure(self, pod: Pod, attachment: Attachment, reason: str, message: str) -> None:
        if not self._repeats(pod.key, attachment.ifname, message):
            self._events.emit(pod, "Warning", reason, message)

    def _forget(self, pod: PodKey, topic: str) -> None:
        with self._lock:
            topics = self._last_said.get(pod, {})
            topics.pop(topic, None)
            if not topics:
                self._last_said.pop(pod, None)

    def _repeats(self, pod: PodKey, topic: str, said: object) -> bool:
        if not said:
            self._forget(pod, topic)
            return False
        with self._lock:
            topics = self._last_said.setdefault(pod, {})
            repeats = topics.get(topic) == said
            topics[topic] = said
            return repeats


def _fields(pod: PodKey, network: str = "", ifname: str = "", **more: str) -> dict[str, Any]:
    fields = {"POD": pod.name, "POD_NAMESPACE": pod.namespace, "POD_UID": pod.uid, **more}
    if network:
        fields.update(NETWORK=network, IFNAME=ifname)
    return fields


def _text(error: Exception) -> str:
    return str(error) if isinstance(error, PodagentError) else f"internal error: {error!r}"


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.1f}"
