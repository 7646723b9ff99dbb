"""The host's ends of pods' links, recognised by index and by the name that ADD reported."""

from __future__ import annotations

from collections.abc import Collection

from podagent.errors import HostUnavailable
from podagent.host import linkcalls
from podagent.host.links import ifindex, link_names, mac, other_end


def far_ends(names: Collection[str]) -> dict[int, int]:
    """The indexes of these links of the host, each by the index of its other end.

    Only a link that a workload hides will be missed if they cannot be read now.
    """
    try:
        pairs = {other_end(name): ifindex(name) for name in names}
    except OSError:
        return {}
    return {far: near for far, near in pairs.items() if far and far != near}  # a bridge is its own "other end"


def is_there(index: int, names: Collection[str]) -> bool:
    """Whether one of these links of the host has this index. Raises HostUnavailable."""
    try:
        return any(ifindex(name) == index for name in names)
    except OSError as fault:
        raise HostUnavailable(f"the host's ends of links cannot be read now: {fault}") from None


def macs() -> frozenset[str]:
    """The MAC addresses of all links of the host. Raises HostUnavailable."""
    try:
        return frozenset(filter(None, map(mac, link_names())))
    except OSError as fault:
        raise HostUnavailable(f"the links of the host cannot be read now: {fault}") from None


def remove(index: int) -> None:
    """Removes a link of the host, and with it its other end. Raises HostUnavailable."""
    try:
        linkcalls.remove(index)
    except OSError as fault:
        raise HostUnavailable(f"link {index} of the host cannot be removed now: {fault}") from None
