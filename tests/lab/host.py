"""What tests could leave behind on the host."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

from lab.dockerd import PrivateDockerd
from lab.leases import ROOT
from lab.links import links_of
from lab.session import BRIDGE_PREFIX, LEASES_PREFIX, VETH_PREFIX

_NAMED_NAMESPACES = Path("/run/netns")


@dataclass(frozen=True)
class HostState:
    """Names of what exists: interfaces of ours, lease directories, named network namespaces, containers of the lab."""

    interfaces: frozenset[str]
    leases: frozenset[str]
    namespaces: frozenset[str]
    containers: frozenset[str]

    @staticmethod
    def now(dockerd: PrivateDockerd) -> HostState:
        # A veth of the bridge plugin is without a bridge once ours is gone; those of other bridges are not ours.
        ours = (BRIDGE_PREFIX, VETH_PREFIX)
        links = links_of().items()
        stray = (n for n, link in links if n.startswith(ours) or (n.startswith("veth") and not link.master))
        containers = dockerd.client.api.containers(all=True)
        return HostState(
            frozenset(stray),
            frozenset(name for name in _names(ROOT) if name.startswith(LEASES_PREFIX)),
            frozenset(_names(_NAMED_NAMESPACES)),
            frozenset(container["Names"][0] for container in containers),
        )

    def since(self, before: HostState) -> dict[str, list[str]]:
        """What is there now and was not before, by kind."""
        kinds = [field.name for field in fields(self)]
        grown = {kind: sorted(getattr(self, kind) - getattr(before, kind)) for kind in kinds}
        return {kind: names for kind, names in grown.items() if names}


def _names(directory: Path) -> list[str]:
    return [entry.name for entry in directory.iterdir()] if directory.is_dir() else []
