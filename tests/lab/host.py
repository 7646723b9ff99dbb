"""What tests could leave behind on the host."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from lab.files import names_in
from lab.leases import ROOT
from lab.links import links_of
from lab.podruntime import PodRuntime
from lab.session import BRIDGE_PREFIX, LEASES_PREFIX, MARK
from lab.waiting import eventually

# A veth without a bridge may be that of another run on this machine: until then there is a moment without one.
SETTLE_SECONDS = 120.0
NAMED_NAMESPACES = Path("/run/netns")
State = TypeVar("State", bound=Any)


@dataclass(frozen=True)
class HostState:
    """Names of what exists: interfaces of ours, lease directories, named network namespaces, containers of the lab."""

    interfaces: frozenset[str]
    leases: frozenset[str]
    namespaces: frozenset[str]
    containers: frozenset[str]

    @staticmethod
    def now(runtime: PodRuntime | None = None) -> HostState:
        """Without a runtime there are no containers."""
        # A veth of the bridge plugin is without a bridge once ours is gone; those of other bridges are not ours.
        links = links_of().items()
        stray = (n for n, link in links if n.startswith(BRIDGE_PREFIX) or (n.startswith("veth") and not link.master))
        containers = runtime.container_names() if runtime else ()
        return HostState(
            frozenset(stray),
            frozenset(name for name in names_in(ROOT) if LEASES_PREFIX in name),
            frozenset(name for name in names_in(NAMED_NAMESPACES) if MARK in name),
            frozenset(containers),
        )


def wait_as_before(before: State, now: Callable[[], State], timeout: float = SETTLE_SECONDS) -> None:
    """Waits until nothing is there that was not there before; the AssertionError raised else names it."""

    def nothing_left() -> bool:
        left = _grown(before, now())
        assert not left, f"left behind: {left}"
        return True

    eventually(nothing_left, timeout, "the host to be as it was before")


def _grown(before: State, now: State) -> dict[str, list[str]]:
    """What is there now and was not before, by kind: of two of the same dataclass, whose fields are sets of names."""
    kinds = [field.name for field in fields(now)]
    came = {kind: sorted(getattr(now, kind) - getattr(before, kind)) for kind in kinds}
    return {kind: names for kind, names in came.items() if names}
