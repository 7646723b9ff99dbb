"""Docker behind dockershim or cri-dockerd: pod UID -> newest running sandbox -> network namespace.

GET requests only: the agent never changes a container.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable
from typing import Any

import docker
import requests

from podagent.errors import NetnsGone, RuntimeUnavailable, SandboxNotFound
from podagent.messages import Message
from podagent.model import NetnsRef, PodKey, Sandbox

_log = logging.getLogger(__name__)

_TYPE = "io.kubernetes.docker.type"
_NAMESPACE, _NAME, _UID = (f"io.kubernetes.pod.{part}" for part in ("namespace", "name", "uid"))
_SANDBOX_ID = "io.kubernetes.sandbox.id"
_SANDBOX = f"{_TYPE}=podsandbox"
_EVENTS = {"type": ["container"], "event": ["start", "die"], "label": [_SANDBOX]}

_Errors = (docker.errors.DockerException, requests.RequestException, OSError, ValueError)


class DockerRuntime:
    """Thread-safe."""

    def __init__(
        self,
        endpoint: str,
        identify: Callable[[str], NetnsRef],
        timeout_s: float = 20.0,
        connect: Callable[..., Any] = docker.APIClient,
        retry_s: float = 1.0,
    ) -> None:
        """
        Args:
            endpoint: ``unix://`` URL of the Docker socket, which need not respond yet.
            identify: converts the path of a network namespace to a reference; raises NetnsGone.
            timeout_s: timeout per request, in seconds.
            connect: creates a client from the arguments of `docker.APIClient`.
            retry_s: seconds between two attempts to subscribe to events.
        """
        self._endpoint = endpoint
        self._identify = identify
        self._timeout_s = timeout_s
        self._connect = connect
        self._retry_s = retry_s
        self._client: Any = None
        self._namespaces: dict[str, NetnsRef] = {}

    def find_sandbox(self, pod: PodKey) -> Sandbox:
        """Finds the newest running sandbox of the pod.

        Namespace and name must match too: the UID of a static pod comes from an annotation that anybody can write.

        Raises:
            SandboxNotFound: there is none.
            RuntimeUnavailable: Docker does not respond, or not as expected.
        """
        try:
            labels = [f"{_NAMESPACE}={pod.namespace}", f"{_NAME}={pod.name}", f"{_UID}={pod.uid}"]
            containers = self._api().containers(all=True, filters={"label": labels})
            running = [c for c in containers if c["State"] == "running" and _label(c, _TYPE) == "podsandbox"]
            if not running:
                self._forget(containers)
                raise SandboxNotFound(f"Docker has no running sandbox of pod {pod} (UID {pod.uid})")
            newest = max(running, key=lambda container: container["Created"])
            populated = any(_label(container, _SANDBOX_ID) == newest["Id"] for container in containers)
            return Sandbox(newest["Id"], self._netns(newest), populated)
        except docker.errors.NotFound as error:
            raise SandboxNotFound(f"the sandbox of pod {pod} ended during the lookup") from error
        except (*_Errors, KeyError, TypeError) as error:
            self._renegotiate_after(error)
            reason = f"{type(error).__name__}: {error}"
            raise RuntimeUnavailable(f"Docker at {self._endpoint} does not answer: {reason}") from error

    def follow(self, changed: Callable[[PodKey], None], reconnected: Callable[[], None], stop: threading.Event) -> None:
        """Reports sandbox starts and ends until `stop`. They are only hints that trigger a pass.

        Args:
            changed: called with the pod.
            reconnected: called when events may have been missed.
            stop: ends the subscription; a blocked read is abandoned to the end of the process.
        """
        lost = False
        while not stop.is_set():
            try:
                with contextlib.closing(self._events_client()) as client:
                    stream = client.events(filters=_EVENTS, decode=True)
                    if lost:
                        _log.info("Docker at %s answers again", self._endpoint)
                        lost = False
                    reconnected()
                    for event in stream:
                        labels = event["Actor"]["Attributes"]
                        changed(PodKey(*(str(labels.get(label, "")) for label in (_NAMESPACE, _NAME, _UID))))
            except (*_Errors, KeyError, TypeError) as error:
                self._renegotiate_after(error)
                if not lost:
                    message = "Docker at %s does not answer, trying again: %s"
                    _log.warning(message, self._endpoint, error, extra=Message.DOCKER_LOST.field)
                lost = True
            stop.wait(self._retry_s)

    def _events_client(self) -> Any:
        # A separate client without a read timeout: silence is normal here, and the socket is local.
        return self._connect(base_url=self._endpoint, timeout=None, version=self._api().api_version)

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

    def _netns(self, container: dict[str, Any]) -> NetnsRef | None:
        if container["HostConfig"]["NetworkMode"] == "host":
            return None
        known = self._namespaces.get(container["Id"])
        if known is not None and self._still(known):
            return known
        pid = int(self._api().inspect_container(container["Id"])["State"]["Pid"])
        try:
            if pid <= 0:
                raise NetnsGone("its process has ended")
            found = self._identify(f"/proc/{pid}/ns/net")
        except NetnsGone as error:
            raise SandboxNotFound(f"sandbox {container['Id'][:12]} is ending: {error}") from None
        # The namespace was identified by PID: it is the sandbox's only if the PID still is.
        if int(self._api().inspect_container(container["Id"])["State"]["Pid"]) != pid:
            raise SandboxNotFound(f"sandbox {container['Id'][:12]} ended during the lookup")
        self._namespaces[container["Id"]] = found
        return found

    def _forget(self, containers: list[dict[str, Any]]) -> None:
        for container in containers:
            self._namespaces.pop(container["Id"], None)
        while len(self._namespaces) > 1000:
            self._namespaces.pop(next(iter(self._namespaces), ""), None)

    def _still(self, ref: NetnsRef) -> bool:
        try:
            return self._identify(ref.path) == ref
        except NetnsGone:
            return False


def _label(container: dict[str, Any], name: str) -> str:
    return str((container.get("Labels") or {}).get(name, ""))
