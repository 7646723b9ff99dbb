"""What a case could leave behind on the node, and nothing of it may."""

from __future__ import annotations

from dataclasses import dataclass

from e2e.cluster.cluster import Cluster
from e2e.cluster.layout import KACTUS, NODE_BRIDGE, POD_BRIDGE
from functional.outcomes import kept_attachments
from lab.files import names_in
from lab.host import NAMED_NAMESPACES
from lab.leases import ROOT, leases
from lab.links import links_of


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
        return Leftovers(
            interfaces=frozenset(set(links_of()) - {NODE_BRIDGE, POD_BRIDGE}),
            leases=frozenset(f"{name}/{lease.ip}" for name in names_in(ROOT) for lease in leases(name)),
            namespaces=frozenset(names_in(NAMED_NAMESPACES)),
            running_containers=frozenset(cluster.runtime.container_names(running=True)),
            kept_by_kactus=frozenset(" ".join(each) for each in kept_attachments(KACTUS)),
        )
