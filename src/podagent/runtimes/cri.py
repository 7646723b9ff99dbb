"""A container runtime with CRI (containerd, CRI-O): pod UID -> newest sandbox that is READY -> network namespace."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterator

from podagent.act.ports import Hints, Stop
from podagent.errors import NetnsGone, RuntimeUnavailable, SandboxNotFound
from podagent.foreign import Json, lenient, shown
from podagent.messages import Message
from podagent.model import CniDirectories, NetnsRef, PodKey, Sandbox
from podagent.runtimes.crimessages import SandboxStatus
from podagent.runtimes.criservice import CriService
from podagent.runtimes.grpc import NOT_FOUND, CallFailed
from podagent.runtimes.guests import guest
from podagent.runtimes.polling import Polling
from podagent.validate import is_container_id, is_plain_path

_log = logging.getLogger(__name__)

LOOKUP_S = 20.0
"""Time limit for a lookup in the runtime, all of its calls together."""
DIRECTORIES_S = 2.0
"""Time limit for `cni_directories`."""


class CriRuntime:
    """Thread-safe."""

    def __init__(
        self,
        endpoint: str,
        identify: Callable[[str], NetnsRef],
        host: Collection[int],
        timeout_s: float = LOOKUP_S,
        tick_s: float = 0.25,
    ) -> None:
        """
        Args:
            endpoint: ``unix://`` URL of the socket, at which nothing need respond yet.
            identify: converts the path of a network namespace to a reference; raises NetnsGone.
            host: inodes of the host's own network namespace.
            timeout_s: limit for a lookup, in seconds.
            tick_s: seconds between two looks at the pods that wait.
        """
        self._service = CriService(endpoint)
        self._identify = identify
        self._host = host
        self._timeout_s = timeout_s
        self._tick_s = tick_s
        self._lost = False

    def find_sandbox(self, pod: PodKey) -> Sandbox:
        """Finds the newest sandbox of the pod that is READY. The kubelet has then set up its network.

        Namespace and name must match too: the UID of a static pod comes from an annotation that anybody can write.

        Raises:
            SandboxNotFound: there is none.
            RuntimeUnavailable: the runtime does not respond, or not as expected.
        """
        try:
            status = self._status(pod, time.monotonic() + self._timeout_s)
            of = guest(status.handler, lenient(status.info, "runtimeType", str))
            return Sandbox(status.id, self._netns(status), populated=True, guest=of)
        except (RuntimeUnavailable, ValueError) as error:
            raise self._unexpected(error) from error

    def cni_directories(self) -> CniDirectories:
        """Where its CNI is, as far as it tells. Raises RuntimeUnavailable."""
        try:
            return self._service.cni_directories(time.monotonic() + DIRECTORIES_S)
        except RuntimeUnavailable as error:
            raise self._unexpected(error) from error

    def follow(self, hints: Hints, stop: Stop) -> None:
        """Reports sandboxes of pods that wait for one until `stop`. It polls: see decision 33."""
        polling = Polling()
        hints.reconnected()
        pause_s = self._tick_s
        while not stop.wait(pause_s):
            now, pause_s = time.monotonic(), self._tick_s
            waiting = polling.due(hints.waiting(), now)
            if not waiting:
                continue
            try:
                uid = waiting[0].uid if len(waiting) == 1 else ""
                found = polling.news(self._service.ready_sandboxes(now + self._timeout_s, uid))
                pause_s = max(pause_s, 4 * (time.monotonic() - now))  # one that is slow has enough to do
            except RuntimeUnavailable as error:
                if not self._lost:
                    message = "%s does not answer, trying again: %s"
                    _log.warning(message, self._name, error, extra=Message.RUNTIME_LOST.field)
                self._lost = True
                continue
            if self._lost:
                _log.info("%s answers again", self._name)
                self._lost = False
                hints.reconnected()
            for pod in found:
                hints.changed(pod)

    @property
    def _name(self) -> str:
        return f"container runtime at {self._service.endpoint}"

    def _unexpected(self, error: Exception) -> RuntimeUnavailable:
        return RuntimeUnavailable(f"{self._name} does not answer as expected: {error}")

    def _status(self, pod: PodKey, deadline: float) -> SandboxStatus:
        listed = [each for each in self._service.ready_sandboxes(deadline, pod.uid) if each.pod == pod]
        if not listed:
            raise SandboxNotFound(f"the container runtime has no running sandbox of pod {pod} (UID {pod.uid})")
        newest = max(listed, key=lambda each: each.created)
        if not is_container_id(newest.id):
            raise ValueError(f"{shown(newest.id)} is not the ID of a sandbox")
        ended = SandboxNotFound(f"sandbox {newest.id[:12]} ended during the lookup")
        try:
            status = self._service.status(newest.id, deadline)
        except CallFailed as error:
            if error.status == NOT_FOUND:
                raise ended from None
            raise
        if (status.id, status.pod) != (newest.id, pod):
            raise ValueError(f"asked for sandbox {newest.id[:12]}, it answers for {shown(status.id)}")
        if not status.ready or _has_ended(status.info):
            raise ended
        return status

    def _netns(self, status: SandboxStatus) -> NetnsRef | None:
        if status.host_network:
            return None  # CRI-O names a namespace all the same: the host's
        path = next(filter(None, _netns_paths(status.info)), "")
        if not path:
            raise ValueError(f"sandbox {status.id[:12]} has no network namespace yet")
        if not is_plain_path(path):
            raise ValueError(f"{shown(path)} is not the path of a network namespace")
        try:
            found = self._identify(path)
        except NetnsGone as error:
            raise SandboxNotFound(f"sandbox {status.id[:12]} is ending: {error}") from None
        return None if found.inode in self._host else found


def _has_ended(info: Json) -> bool:
    return lenient(info, "netNamespaceClosed", bool) or lenient(info, "processStatus", str) == "deleted"


def _netns_paths(info: Json) -> Iterator[str]:
    """Where runtimes tell the path, the surest first; some are empty."""
    spec = lenient(lenient(info, "runtimeSpec", dict), "linux", dict)
    for namespace in lenient(spec, "namespaces", list):
        if lenient(namespace, "type", str) == "network":
            yield lenient(namespace, "path", str)
    yield lenient(lenient(lenient(info, "sandboxMetadata", dict), "Metadata", dict), "NetNSPath", str)
    for interface in lenient(lenient(info, "cniResult", dict), "Interfaces", dict).values():
        yield lenient(interface, "Sandbox", str)
