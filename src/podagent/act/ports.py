"""What the core needs of the world: every Protocol once. The adapters fit them without knowing them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from podagent.foreign import Json
from podagent.model import Attachment, Invocation, NetnsRef, Pod, PodKey, Record, Sandbox, Target, Via

Expect = Callable[[float], None]
"""Tells the watchdog that the next step ends within so many seconds."""

Reconcile = Callable[[PodKey, Expect], "float | None"]
"""Brings a pod in line with its annotation. Returns the seconds until it has to be called again, None for never."""


class Pods(Protocol):
    """The pods of the node, as the API server last described them."""

    def get(self, key: PodKey) -> Pod | None: ...


class Records(Protocol):
    """What the agent attached. Raises StoreError."""

    def of(self, pod: PodKey) -> list[Record]: ...

    def next_sequence(self) -> int: ...

    def put(self, record: Record) -> None: ...

    def remove(self, record: Record) -> None: ...


class Runtime(Protocol):
    """The container runtime."""

    def find_sandbox(self, pod: PodKey) -> Sandbox:
        """The newest running sandbox of a pod. Raises SandboxNotFound, RuntimeUnavailable."""

    def follow(self, changed: Callable[[PodKey], None], reconnected: Callable[[], None], stop: threading.Event) -> None:
        """Calls `changed` for every sandbox that started or ended, until `stop`; `reconnected`: some may be missed."""


class Networks(Protocol):
    """How a network is attached: by whom, and with which configuration."""

    def resolve(self, pod: Pod, attachment: Attachment, sandbox: Sandbox) -> tuple[Via, Invocation]:
        """Raises PodagentError while that cannot be said."""

    def corrected(self, record: Record) -> Invocation | None:
        """What else DEL may be tried with after it failed, None for nothing."""


class Netns(Protocol):
    """A network namespace that is held open. Raises NetnsGone."""

    def links(self) -> Collection[str]: ...

    def ifindex(self, name: str) -> int: ...

    def intact(self) -> bool: ...


class Namespaces(Protocol):
    """Opens network namespaces."""

    def hold(self, ref: NetnsRef) -> AbstractContextManager[Netns]:
        """Raises NetnsGone, HostNetworkRefused."""


class Cni(Protocol):
    """Runs CNI operations."""

    def add(self, call: Invocation, target: Target) -> Json:
        """Raises CniError; NetConfError, CallRefused or PluginNotRun only if no plugin of the list was run."""

    def delete(self, call: Invocation, target: Target, added: Json | None) -> None:
        """Raises CniError."""


class Inherited(Protocol):
    """One network that the agent before this one attached."""

    @property
    def attachment(self) -> Attachment: ...

    @property
    def sandbox_id(self) -> str: ...

    @property
    def complete(self) -> bool:
        """Its ADD had succeeded, and no DEL begun."""


class Predecessor(Protocol):
    """The agent that this one has replaced."""

    def left_nothing(self) -> bool:
        """Whether there is nothing to take over on this node."""

    def of(self, pod: PodKey) -> Sequence[Inherited]: ...

    def settled(self, pod: PodKey) -> None: ...


class Beat(Protocol):
    """The sign of life of one loop."""

    def working(self, allowance_s: float) -> None:
        """The next step ends within so many seconds, unless the loop is stuck."""

    def idle(self) -> None:
        """Nothing is expected of the loop."""
