"""The host's ends of pods' links, recognised by index and by the name that ADD reported."""

from __future__ import annotations

from collections.abc import Collection

from podagent.errors import HostUnavailable
from podagent.host import linkcalls
from podagent.host.links import ifindex, other_end


def find(names: Collection[str], link: int) -> int:
    """Index of the link of the host whose other end is the pod's link, 0 if none of these is known to be it.

    Args:
        names: names of links of the host.
        link: index of the pod's link.
    """
    try:
        return next((ifindex(name) for name in names if _ends_at(name, link)), 0)
    except OSError:
        return 0  # only a link that a workload moves to another namespace will be missed


def is_there(index: int, names: Collection[str]) -> bool:
    """Whether one of these links of the host has this index. Raises HostUnavailable."""
    try:
        return any(ifindex(name) == index for name in names)
    except OSError as fault:
        raise HostUnavailable(f"the host's ends of links cannot be read now: {fault}") from None


def remove(index: int) -> None:
    """Removes a link of the host, and with it its other end. Raises HostUnavailable."""
    try:
        linkcalls.remove(index)
    except OSError as fault:
        raise HostUnavailable(f"link {index} of the host cannot be removed now: {fault}") from None


def _ends_at(name: str, link: int) -> bool:
    # The link itself, such as a bridge, is its own "other end".
    return other_end(name) == link != ifindex(name)
