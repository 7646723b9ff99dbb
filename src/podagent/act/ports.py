"""The interfaces between the core and the outside world. The adapters match them structurally."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from podagent.foreign import Json
from podagent.model import (
    Attachment,
    Invocation,
    Link,
    NetnsRef,
    Pod,
    PodKey,
    Record,
    Sandbox,
    Target,
    Unreleased,
    Via,
)

Expect = Callable[[float], None]
"""Announces to the watchdog that the next step ends within this many seconds."""

Reconcile = Callable[[PodKey, Expect], "float | None"]
"""Brings a pod to its desired state. Returns the seconds until the next call is needed, None for never."""


class Pods(Protocol):
    """The pods of the node, as last reported by the API server."""

    def get(self, key: PodKey) -> Pod | None: ...

    def confirm_gone(self, key: PodKey) -> None:
        """Returns if a pod that is absent is gone. Raises PodagentError if it may exist: a list can be wrong."""


class Records(Protocol):
    """The records of the node. Raises StoreError."""

    def of(self, pod: PodKey) -> list[Record]: ...

    def next_sequence(self) -> int: ...

    def put(self, record: Record) -> None:
        """Writes a record durably. Raises TooManyRecords if there is no room for a new one."""

    def keep(self, record: Record) -> None:
        """As `put`, for an interface on record; if the disk fails, memory has it, and the file follows later."""

    def remove(self, record: Record) -> None: ...


class Runtime(Protocol):
    """The container runtime."""

    def find_sandbox(self, pod: PodKey) -> Sandbox:
        """The newest running sandbox of a pod. Raises SandboxNotFound, RuntimeUnavailable."""

    def follow(self, changed: Callable[[PodKey], None], reconnected: Callable[[], None], stop: threading.Event) -> None:
        """Calls `changed` for each sandbox start or end until `stop`, and `reconnected` if some may be missed."""


class Networks(Protocol):
    """Determines for each attachment the mode and the CNI call."""

    def resolve(self, pod: Pod, attachment: Attachment, sandbox: Sandbox) -> tuple[Via, Invocation]:
        """The mode and the CNI call. Raises PodagentError if they cannot be determined now."""

    def corrected(self, record: Record) -> Invocation | None:
        """The call for a second DEL after it failed, None if there is none."""


class Netns(Protocol):
    """An open network namespace. Raises NetnsUnavailable."""

    @property
    def path(self) -> str:
        """For plugins. The namespace keeps it while it is pinned, also when its pod ends."""

    def links(self) -> Mapping[str, Link]:
        """Its links by name."""

    def addresses(self, name: str) -> Collection[str]:
        """The IP addresses of a link, without prefix lengths."""

    def rename(self, old: str, new: str) -> None: ...

    def remove(self, index: int) -> None:
        """Removes a link if it exists."""

    def intact(self) -> bool:
        """Whether plugins reach it by its path."""

    def runs(self) -> bool:
        """Whether its sandbox runs."""


class Namespaces(Protocol):
    """Opens network namespaces."""

    def enter(self, ref: NetnsRef, sandbox_id: str) -> AbstractContextManager[Netns]:
        """Opens the namespace of a running sandbox, and pins it.

        Raises NetnsGone if the sandbox has ended, NetnsUnavailable, HostNetworkRefused.
        """

    def reenter(self, ref: NetnsRef, sandbox_id: str) -> AbstractContextManager[Netns]:
        """Opens the namespace if it is pinned, or if its sandbox runs. Raises as `enter`."""

    def runs(self, ref: NetnsRef) -> bool:
        """Whether the sandbox of a namespace runs. Raises NetnsUnavailable."""

    def unpin(self, ref: NetnsRef, sandbox_id: str) -> None:
        """Lets a namespace go. Raises NetnsUnavailable."""


class Cni(Protocol):
    """Runs CNI operations."""

    def add(self, call: Invocation, target: Target) -> Json:
        """Raises CniError; NetConfError, CallRefused or PluginNotRun only if no plugin of the list was run."""

    def delete(self, call: Invocation, target: Target, added: Json | None) -> None:
        """Raises CniError at the first plugin that fails."""

    def release(
        self, call: Invocation, target: Target, added: Json | None, positions: Collection[int] = ()
    ) -> Sequence[Unreleased]:
        """DEL of the plugins at these positions, by default of all. Returns those that failed; raises CallRefused."""


class HostEnds(Protocol):
    """The host's ends of pods' links. Raises HostUnavailable."""

    def far_ends(self, names: Collection[str]) -> Mapping[int, int]:
        """The indexes of these links of the host, each by the index of its other end."""

    def macs(self) -> Collection[str]:
        """The MAC addresses of all links of the host."""

    def is_there(self, index: int, names: Collection[str]) -> bool:
        """Whether one of these links of the host has this index."""

    def remove(self, index: int) -> None:
        """Removes a link of the host, and with it its other end."""


class Evidence(Protocol):
    """Shows whether an interface that the agent did not make was made by an ADD for the same network."""

    def result_of(self, record: Record) -> Json | None:
        """The result of that ADD, {} if it is unknown; None if nothing proves that there was one."""


class Inherited(Protocol):
    """One network that the previous agent attached."""

    @property
    def attachment(self) -> Attachment: ...

    @property
    def sandbox_id(self) -> str: ...

    @property
    def complete(self) -> bool:
        """Its ADD had succeeded, and no DEL had started."""


class Predecessor(Protocol):
    """The agent that this one replaces."""

    def is_empty(self) -> bool:
        """Whether the node has nothing to take over."""

    def of(self, pod: PodKey) -> Sequence[Inherited]: ...

    def settled(self, pod: PodKey) -> None: ...


class Beat(Protocol):
    """Progress reports of one loop to the watchdog."""

    def working(self, allowance_s: float) -> None:
        """The next step ends within this many seconds, unless the loop is stuck."""

    def idle(self) -> None:
        """The loop waits for work."""
