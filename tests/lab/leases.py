"""The leases of the host-local IPAM plugin, read from where it keeps them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from lab.files import names_in

ROOT = Path("/var/lib/cni/networks")
_ADDRESS = re.compile(r"[0-9a-f.:]+")


@dataclass(frozen=True)
class Lease:
    """One address in use."""

    network: str
    ip: str
    container_id: str
    ifname: str


def lease_dir(network: str) -> Path:
    return ROOT / network


def leases(network: str) -> list[Lease]:
    """The leases of a CNI network, by address; empty when the network never had one."""
    directory = lease_dir(network)
    found = (_read(network, directory / name) for name in sorted(names_in(directory)) if _ADDRESS.fullmatch(name))
    return [lease for lease in found if lease]


def _read(network: str, path: Path) -> Lease | None:
    try:
        container_id, ifname = [*path.read_text().splitlines(), "", ""][:2]
    except FileNotFoundError:
        return None  # released since the directory was listed
    return Lease(network, path.name, container_id, ifname)
