"""What the lab needs of a container runtime, whichever it is.

In the terms of the kubelet's Container Runtime Interface: a sandbox holds the network namespace of a pod, and the pod's
containers run in it. Where any ID will do, a sandbox is a container too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

IMAGE = "podagent-lab/busybox:latest"
IDLE = ("/bin/sleep", "2147483")
"""What does nothing, for longer than any test."""


@dataclass(frozen=True)
class PodMetadata:
    """Which pod it is. `attempt` tells apart what is made for it again."""

    name: str
    namespace: str
    uid: str
    attempt: int = 0

    @property
    def labels(self) -> dict[str, str]:
        """What the kubelet puts on the sandbox and the containers of the pod."""
        about = {"name": self.name, "namespace": self.namespace, "uid": self.uid}
        return {f"io.kubernetes.pod.{key}": value for key, value in about.items()}


@dataclass(frozen=True)
class Container:
    """A container or sandbox as the runtime shows it.

    Attributes:
        started: time in UTC, as RFC 3339 writes it.
        restarts: how often it was started again.
        pid: 0 when it does not run.
    """

    id: str
    name: str
    labels: Mapping[str, str]
    running: bool
    started: str
    restarts: int
    pid: int


class Runtime(Protocol):
    """A runtime of our own, from `start` to `stop`. Every container runs `IMAGE`."""

    name: str
    """The scheme of its container IDs in the status of a pod."""

    @property
    def endpoint(self) -> str:
        """The URL of its socket, for the agent and the kubelet."""

    @property
    def pid(self) -> int:
        """Of the daemon."""

    def start(self) -> None:
        """Returns when it answers."""

    def restart(self, *, keep_containers: bool = False) -> None:
        """Stops the daemon and starts it. Containers end with it unless they are kept."""

    def away(self, *, keep_containers: bool = False) -> AbstractContextManager[None]:
        """The daemon is stopped meanwhile. Containers end with it unless they are kept."""

    def stop(self) -> None:
        """Ends the daemon, whichever process has started it, and leaves nothing of it behind."""

    def cgroup_driver(self) -> str:
        """Which the kubelet must use as well."""

    def image(self, name: str = IMAGE, command: Sequence[str] = IDLE) -> str:
        """Makes the busybox image if it is not there; returns its name. `command` is what it runs by default."""

    def run_sandbox(self, pod: PodMetadata, *, host_network: bool = False) -> str:
        """Returns the ID of a new sandbox, with nothing but lo in its network namespace."""

    def run_container(self, pod: PodMetadata, sandbox_id: str, name: str, command: Sequence[str] = ()) -> str:
        """Returns the ID of a new container in the sandbox. Without a command it runs that of the image."""

    def exec(self, container_id: str, command: Sequence[str], *, tty: bool = False) -> tuple[int, bytes]:
        """Runs a command in the container; returns its exit code and output."""

    def kill(self, container_id: str) -> None:
        """Ends its process with SIGKILL."""

    def remove(self, container_id: str) -> None:
        """Ends and removes it, if it is there."""

    def remove_containers(self) -> None:
        """Ends and removes all of them, and all sandboxes."""

    def inspect(self, container_id: str) -> Container:
        """It must be there."""

    def running_sandbox(self, pod_uid: str) -> str:
        """The ID of the newest running sandbox of the pod; "" without one."""

    def container_names(self, *, running: bool = False) -> list[str]:
        """Of all containers and sandboxes, or only of those that run."""
