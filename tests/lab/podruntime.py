"""What the lab's nodes need of a container runtime: it makes pods as the kubelet has it make them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

IMAGE = "podagent-lab/busybox:latest"
IDLE = ("/bin/sleep", "2147483")
"""What the image runs by default."""


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

    def container_name(self, name: str) -> str:
        """The name in the runtime of a container, or of the sandbox: ``POD``."""
        return f"k8s_{name}_{self.name}_{self.namespace}_{self.uid}_{self.attempt}"


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


class PodRuntime(Protocol):
    """A runtime of our own, which runs.

    Attributes:
        name: as in the ``containerID`` of a pod's status.
        own_links: interfaces that pods have without asking for networks.
        reports_ends: it reports sandboxes that end; otherwise only the kubelet does, in the status of their pods.
    """

    name: str
    own_links: frozenset[str]
    reports_ends: bool

    @property
    def endpoint(self) -> str:
        """``unix://`` URL of its socket."""

    def of_agent(self) -> dict[str, Any]:
        """Arguments of an agent on its node."""

    def run_sandbox(self, pod: PodMetadata, *, host_network: bool = False) -> str:
        """Returns the ID of a new sandbox."""

    def run_container(self, pod: PodMetadata, sandbox_id: str, name: str, command: Sequence[str] = ()) -> str:
        """Returns the ID of a new container in the sandbox. Without a command it runs that of the image."""

    def inspect(self, container_id: str) -> Container:
        """A container or sandbox, which exists."""

    def kill(self, container_id: str) -> None:
        """Ends the processes of a container or sandbox, behind the back of the kubelet."""

    def remove(self, container_id: str) -> None:
        """Ends a container or sandbox if it runs, and removes it if it exists."""

    def container_names(self, *, running: bool = False) -> list[str]:
        """Of containers and sandboxes; of all, or of those that run."""

    def restart(self, *, keep_containers: bool = False) -> None:
        """Containers end with it unless they are kept."""

    def away(self, *, keep_containers: bool = False) -> AbstractContextManager[None]:
        """It is stopped for a while."""

    def frozen(self) -> AbstractContextManager[None]:
        """It accepts connections for a while, and does not answer."""
