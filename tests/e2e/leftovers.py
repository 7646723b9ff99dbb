"""What a case could leave behind on the node, and nothing of it may."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

from cluster.cluster import Cluster
from cluster.host import BRIDGES
from outcomes import kept_attachments

from lab.leases import ROOT, leases
from lab.links import links_of

_NAMED_NAMESPACES = Path("/run/netns")


@dataclass(frozen=True)
class Leftovers:
    """Names of what exists on the node now."""

    interfaces: frozenset[str]
    leases: frozenset[str]
    namespaces: frozenset[str]
    running_containers: frozenset[str]
    kept_by_kactus: frozenset[str]

    @staticmethod
    def now(cluster: Cluster) -> Leftovers:
        assert cluster.dockerd
        networks = _names(ROOT)
        running = cluster.dockerd.client.api.containers()
        return Leftovers(
            interfaces=frozenset(set(links_of()) - set(BRIDGES)),
            leases=frozenset(f"{name}/{lease.ip}" for name in networks for lease in leases(name)),
            namespaces=frozenset(_names(_NAMED_NAMESPACES)),
            running_containers=frozenset(each["Names"][0] for each in running),
            kept_by_kactus=frozenset(" ".join(each) for each in kept_attachments(cluster.layout.kactus)),
        )

    def since(self, before: Leftovers) -> dict[str, list[str]]:
        """What is there now and was not before, by kind."""
        kinds = [field.name for field in fields(self)]
        grown = {kind: sorted(getattr(self, kind) - getattr(before, kind)) for kind in kinds}
        return {kind: names for kind, names in grown.items() if names}


def _names(directory: Path) -> list[str]:
    return [entry.name for entry in directory.iterdir()] if directory.is_dir() else []
