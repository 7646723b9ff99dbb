"""The calls to a CRI service that a kubelet makes to run pods, in the wire format of the product.

Field numbers: those of api.proto.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lab.podruntime import Container, PodMetadata
from podagent.runtimes.grpc import call
from podagent.runtimes.protobuf import Fields, message, number, text

_READY, _RUNNING = 0, 1
_PER_CONTAINER, _NODE = 1, 2


class UserNamespace(NamedTuple):
    """So many IDs from `host_id` on are root and its users in the pod."""

    host_id: int
    length: int = 65536


class CriKubelet:
    """Makes pods in the runtime at a socket. Raises RuntimeUnavailable where that refuses."""

    def __init__(self, socket: Path, image: str, timeout_s: float = 60.0) -> None:
        """`image`: of all containers, which the runtime has."""
        self._socket = socket
        self._image = image
        self._timeout_s = timeout_s
        self._sandboxes: dict[str, bytes] = {}  # their configurations, which their containers repeat

    def run_sandbox(
        self, pod: PodMetadata, *, host_network: bool = False, users: UserNamespace | None = None,
        annotations: Mapping[str, str] | None = None,
    ) -> str:  # fmt: skip
        """Returns the ID of a new sandbox, whose network the runtime has set up."""
        config = _sandbox_config(pod, host_network, users) + _map(7, annotations or {})
        made = self.call("RunPodSandbox", message(1, config)).text(1)
        self._sandboxes[made] = config
        return made

    def run_container(self, pod: PodMetadata, sandbox_id: str, name: str, command: Sequence[str] = ()) -> str:
        """Returns the ID of a new container in the sandbox. Without a command it runs that of the image."""
        labels = {**pod.labels, "io.kubernetes.container.name": name}
        config = message(1, text(1, name) + number(2, pod.attempt)) + message(2, text(1, self._image))
        config += b"".join(text(3, word) for word in command) + _map(9, labels)
        config += message(15, message(2, message(3, number(2, _PER_CONTAINER))))
        whole = text(1, sandbox_id) + message(2, config) + message(3, self._sandboxes[sandbox_id])
        made = self.call("CreateContainer", whole).text(1)
        self.call("StartContainer", text(1, made))
        return made

    def stop(self, identifier: str) -> None:
        """Ends a container, or a sandbox with its network namespace."""
        if identifier in self._sandboxes:
            self.call("StopPodSandbox", text(1, identifier))
        else:
            self.call("StopContainer", text(1, identifier))

    def remove(self, identifier: str) -> None:
        """Ends it, and removes it. It need not exist."""
        self.stop(identifier)
        is_sandbox = self._sandboxes.pop(identifier, None) is not None
        self.call("RemovePodSandbox" if is_sandbox else "RemoveContainer", text(1, identifier))

    def exec(self, container_id: str, command: Sequence[str]) -> tuple[int, bytes]:
        """Runs a command in the container; returns its exit code and output."""
        answer = self.call("ExecSync", text(1, container_id) + b"".join(text(2, word) for word in command))
        return answer.number(3), (answer.text(1) + answer.text(2)).encode()

    def remove_all(self) -> None:
        for each in self._sandboxes_listed(running=False):
            self.call("StopPodSandbox", text(1, each.text(1)))
            self.call("RemovePodSandbox", text(1, each.text(1)))

    def inspect(self, identifier: str) -> Container:
        if self._is_sandbox(identifier):
            status, info = self._status("PodSandboxStatus", identifier)
            running, labels, started = status.number(3) == _READY, status.map(7), status.number(4)
            name, attempt = "POD", status.message(2).number(4)
        else:
            status, info = self._status("ContainerStatus", identifier)
            running, labels, started = status.number(3) == _RUNNING, status.map(12), status.number(5)
            name, attempt = status.message(2).text(1), status.message(2).number(2)
        full_name, pid = _name(labels, name, attempt), info["pid"] if running else 0
        return Container(identifier, full_name, labels, running, _rfc3339(started), 0, pid)

    def running_sandbox(self, pod_uid: str) -> str:
        """The ID of the newest running sandbox of the pod; "" without one."""
        mine = [each for each in self._sandboxes_listed(running=True) if each.message(2).text(2) == pod_uid]
        return max(mine, key=lambda each: each.number(4)).text(1) if mine else ""

    def names(self, *, running: bool = False) -> list[str]:
        """Of containers and sandboxes, as Docker would have them."""
        listed = self.call("ListContainers", message(1, message(2, number(1, 1)) if running else b"")).messages(1)
        containers = [_name(each.map(8), each.message(3).text(1), each.message(3).number(2)) for each in listed]
        sandboxes = self._sandboxes_listed(running=running)
        return containers + [_name(each.map(5), "POD", each.message(2).number(4)) for each in sandboxes]

    def has_image(self) -> bool:
        request = message(1, text(1, self._image))
        return bool(self.call("ImageStatus", request, service="ImageService").message(1).text(1))

    def call(self, method: str, request: bytes, service: str = "RuntimeService") -> Fields:
        deadline = time.monotonic() + self._timeout_s
        return Fields(call(str(self._socket), f"/runtime.v1.{service}/{method}", request, deadline))

    def _sandboxes_listed(self, *, running: bool) -> Iterable[Fields]:
        return self.call("ListPodSandbox", message(1, message(2, b"") if running else b"")).messages(1)

    def _is_sandbox(self, identifier: str) -> bool:
        """Whoever has made it."""
        known = (each.text(1) for each in self._sandboxes_listed(running=False))
        return identifier in self._sandboxes or identifier in known

    def _status(self, method: str, identifier: str) -> tuple[Fields, dict[str, Any]]:
        """What CRI tells of it, and what the runtime adds."""
        answer = self.call(method, text(1, identifier) + number(2, 1))
        return answer.message(1), json.loads(answer.map(2)["info"])


def _sandbox_config(pod: PodMetadata, host_network: bool, users: UserNamespace | None) -> bytes:
    metadata = text(1, pod.name) + text(2, pod.uid) + text(3, pod.namespace) + number(4, pod.attempt)
    security = message(2, message(1, _namespaces(host_network, users)))
    hostname = b"" if host_network else text(2, pod.name[:63])
    return message(1, metadata) + hostname + _map(6, pod.labels) + message(8, security)


def _namespaces(host_network: bool, users: UserNamespace | None) -> bytes:
    options = number(1, _NODE if host_network else 0) + number(2, _PER_CONTAINER)
    if users:
        mapping = number(1, users.host_id) + number(3, users.length)
        options += message(5, message(2, mapping) + message(3, mapping))
    return options


def _map(field: int, values: Mapping[str, str]) -> bytes:
    return b"".join(message(field, text(1, key) + text(2, value)) for key, value in values.items())


def _name(labels: Mapping[str, str], name: str, attempt: int) -> str:
    known = {key.rpartition(".")[2]: value for key, value in labels.items() if key.startswith("io.kubernetes.pod.")}
    return PodMetadata(known["name"], known["namespace"], known["uid"], attempt).container_name(name)


def _rfc3339(nanoseconds: int) -> str:
    seconds, rest = divmod(nanoseconds, 10**9)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{rest:09}Z"
