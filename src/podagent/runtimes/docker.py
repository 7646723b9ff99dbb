"""Docker behind dockershim or cri-dockerd: pod UID -> newest running sandbox -> network namespace.

GET requests only: the agent never changes a container.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import docker
import requests
import urllib3

from podagent.act.ports import Hints, Stop
from podagent.errors import NetnsGone, RuntimeUnavailable, SandboxNotFound
from podagent.foreign import Json, lenient, required, shown
from podagent.messages import Message
from podagent.model import CniDirectories, NetnsRef, PodKey, Sandbox
from podagent.runtimes.guests import guest
from podagent.timelimit import TimeLimit
from podagent.validate import is_container_id, is_pod_key

_log = logging.getLogger(__name__)

LOOKUP_S = 20.0
"""Time limit for a lookup in Docker, all of its requests together."""
_TYPE = "io.kubernetes.docker.type"
_NAMESPACE, _NAME, _UID = (f"io.kubernetes.pod.{part}" for part in ("namespace", "name", "uid"))
_SANDBOX_ID = "io.kubernetes.sandbox.id"
_SANDBOX = f"{_TYPE}=podsandbox"
_EVENTS = {"type": ["container"], "event": ["start", "die"], "label": [_SANDBOX]}

# The library passes on what Docker answers, whatever its types: a malformed answer surfaces as one of the latter.
_Errors = (
    docker.errors.DockerException, requests.RequestException, urllib3.exceptions.HTTPError, OSError,
    ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError,
)  # fmt: skip


class _Container(NamedTuple):
    id: str
    running: bool
    created: int
    host_network: bool
    labels: Json


class _Inside(NamedTuple):
    """What is asked once for each sandbox: its namespace, and the guest that may not see all of it."""

    netns: NetnsRef
    guest: str


class DockerRuntime:
    """Thread-safe."""

    def __init__(
        self,
        endpoint: str,
        identify: Callable[[str], NetnsRef],
        timeout_s: float = LOOKUP_S,
        connect: Callable[..., Any] = docker.APIClient,
        retry_s: float = 1.0,
    ) -> None:
        """
        Args:
            endpoint: ``unix://`` URL of the Docker socket, which need not respond yet.
            identify: converts the path of a network namespace to a reference; raises NetnsGone.
            timeout_s: limit for a lookup, and for an event from its first byte, in seconds.
            connect: creates a client from the arguments of `docker.APIClient`.
            retry_s: seconds between two attempts to subscribe to events.
        """
        self._endpoint = endpoint
        self._identify = identify
        self._timeout_s = timeout_s
        self._connect = connect
        self._retry_s = retry_s
        self._client: Any = None
        self._lost = False
        self._inside: dict[str, _Inside] = {}

    def find_sandbox(self, pod: PodKey) -> Sandbox:
        """Finds the newest running sandbox of the pod.

        Namespace and name must match too: the UID of a static pod comes from an annotation that anybody can write.

        Raises:
            SandboxNotFound: there is none.
            RuntimeUnavailable: Docker does not respond, or not as expected.
        """
        try:
            with TimeLimit(self._timeout_s):
                return self._find(pod)
        except docker.errors.NotFound as error:
            raise SandboxNotFound(f"the sandbox of pod {pod} ended during the lookup") from error
        except _Errors as error:
            self._renegotiate_after(error)
            reason = f"{type(error).__name__}: {error}"
            raise RuntimeUnavailable(f"Docker at {self._endpoint} does not answer: {reason}") from error

    def _find(self, pod: PodKey) -> Sandbox:
        labels = [f"{_NAMESPACE}={pod.namespace}", f"{_NAME}={pod.name}", f"{_UID}={pod.uid}"]
        containers = [_container(each) for each in self._api().containers(all=True, filters={"label": labels})]
        running = [each for each in containers if each.running and each.labels.get(_TYPE) == "podsandbox"]
        if not running:
            self._forget(containers)
            raise SandboxNotFound(f"Docker has no running sandbox of pod {pod} (UID {pod.uid})")
        newest = max(running, key=lambda container: container.created)
        populated = any(container.labels.get(_SANDBOX_ID) == newest.id for container in containers)
        if newest.host_network:
            return Sandbox(newest.id, None, populated)
        inside = self._look_inside(newest)
        return Sandbox(newest.id, inside.netns, populated, inside.guest)

    def cni_directories(self) -> CniDirectories:
        """Docker does not tell any: CNI is dockershim's or cri-dockerd's."""
        return CniDirectories()

    def follow(self, hints: Hints, stop: Stop) -> None:
        """Reports sandbox starts and ends until `stop`."""
        while not stop.is_set():
            try:
                with contextlib.closing(self._events_client()) as client:
                    events = self._events(client, stop)
                    if self._lost:
                        _log.info("Docker at %s answers again", self._endpoint)
                        self._lost = False
                    hints.reconnected()
                    for event in events:
                        if pod := _pod_of(event):
                            hints.changed(pod)
            except _Errors as error:
                self._renegotiate_after(error)
                if not (self._lost or stop.is_set()):
                    message = "Docker at %s does not answer, trying again: %s"
                    _log.warning(message, self._endpoint, error, extra=Message.RUNTIME_LOST.field)
                    self._lost = True
            stop.wait(self._retry_s)

    def _events(self, client: Any, stop: Stop) -> Iterator[object]:
        """Subscribes at once. They end with `stop`."""
        with TimeLimit(self._timeout_s):
            stream = iter(client.events(filters=_EVENTS, decode=True))

        def events() -> Iterator[object]:
            while True:
                with TimeLimit(None, once_begun_s=self._timeout_s, until=stop.is_set):
                    event = next(stream, None)
                if event is None:
                    return
                yield event

        return events()

    def _events_client(self) -> Any:
        # A separate client without a read timeout: silence is normal here, and the socket is local.
        with TimeLimit(self._timeout_s):
            version = self._api().api_version
        return self._connect(base_url=self._endpoint, timeout=None, version=version)

    def _api(self) -> Any:
        client = self._client
        if client is None:
            # Connecting asks Docker for its version. A lock here would make all workers wait for a hanging Docker.
            client = self._connect(base_url=self._endpoint, timeout=self._timeout_s, version="auto")
            self._client = client
        return client

    def _renegotiate_after(self, error: Exception) -> None:
        """Drops the client if a replaced Docker no longer supports, or does not yet support, its API version."""
        if isinstance(error, docker.errors.APIError) and error.status_code == 400:
            self._client = None

    def _look_inside(self, container: _Container) -> _Inside:
        known = self._inside.get(container.id)
        if known is not None and self._still(known.netns):
            return known
        inspected = self._api().inspect_container(container.id)
        pid = _pid(inspected)
        try:
            if pid <= 0:
                raise NetnsGone("its process has ended")
            found = self._identify(f"/proc/{pid}/ns/net")
        except NetnsGone as error:
            raise SandboxNotFound(f"sandbox {container.id[:12]} is ending: {error}") from None
        # The namespace was identified by PID: it is the sandbox's only if the PID still is.
        if _pid(self._api().inspect_container(container.id)) != pid:
            raise SandboxNotFound(f"sandbox {container.id[:12]} ended during the lookup")
        handler = lenient(lenient(inspected, "HostConfig", dict), "Runtime", str)
        self._inside[container.id] = inside = _Inside(found, guest(handler, ""))
        return inside

    def _forget(self, containers: list[_Container]) -> None:
        for container in containers:
            self._inside.pop(container.id, None)
        while len(self._inside) > 1000:
            self._inside.pop(next(iter(self._inside), ""), None)

    def _still(self, ref: NetnsRef) -> bool:
        try:
            return self._identify(ref.path) == ref
        except NetnsGone:
            return False


def _container(listed: Json) -> _Container:
    """Raises one of `_Errors` for anything but a container."""
    name = required(listed, "Id", str)
    if not is_container_id(name):
        raise ValueError(f"{shown(name)} is not the ID of a container")
    return _Container(
        id=name,
        running=required(listed, "State", str) == "running",
        created=required(listed, "Created", int),
        host_network=required(required(listed, "HostConfig", dict), "NetworkMode", str) == "host",
        labels=lenient(listed, "Labels", dict),
    )


def _pid(inspected: Json) -> int:
    return required(required(inspected, "State", dict), "Pid", int)


def _pod_of(event: object) -> PodKey | None:
    """The pod that an event is about, None if no pod can be."""
    labels = lenient(lenient(event, "Actor", dict), "Attributes", dict)
    names = [lenient(labels, label, str) for label in (_NAMESPACE, _NAME, _UID)]
    return PodKey(*names) if is_pod_key(*names) else None
