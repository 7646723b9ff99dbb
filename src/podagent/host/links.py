"""Reads the link names of a network namespace at minimal cost. Cheap to import, for kactus."""

from __future__ import annotations

import errno
import os

from podagent.errors import HostUnavailable
from podagent.validate import is_interface_name

GONE = frozenset({errno.ENOENT, errno.ESRCH, errno.ENOTDIR})
"""Only these errors say that a file, or the process whose file it is, does not exist: all others may be over soon."""

# sysfs answers like this while a link is being removed.
_LINK_GONE = GONE | {errno.EINVAL, errno.ENODEV}

_BEFORE, _AFTER = "/proc/", "/ns/net"


def process_of(path: str) -> str:
    """The PID in ``/proc/<pid>/ns/net``, "" for other paths."""
    process = path[len(_BEFORE) : -len(_AFTER)]
    # No regular expression: compiling one takes longer than reading the links.
    return process if path == f"{_BEFORE}{process}{_AFTER}" and process.isascii() and process.isdigit() else ""


def host_macs(name: str) -> frozenset[str]:
    """The MAC addresses of a link of the host and, for a bridge, of its ports; empty if there is no such link.

    Raises HostUnavailable if they cannot be read now.
    """
    if not is_interface_name(name):
        return frozenset()
    base = f"/sys/class/net/{name}"
    try:
        ports = _names_in(f"{base}/brif")
        return frozenset(filter(None, map(_mac_at, [base, *(f"{base}/brif/{port}/.." for port in ports)])))
    except OSError as fault:
        raise HostUnavailable(f"link {name} of the host cannot be read now: {fault}") from None


def ifindex(name: str) -> int:
    """Index of a link of the host, 0 if there is none. Raises OSError."""
    return _number(name, "ifindex")


def other_end(name: str) -> int:
    """Index of the other end of a link of the host, or of itself; 0 if there is no such link. Raises OSError."""
    return _number(name, "iflink")


def mac(name: str) -> str:
    """MAC address of a link of the host, "" if there is no such link. Raises OSError."""
    return _mac_at(f"/sys/class/net/{name}") if is_interface_name(name) else ""


def _number(name: str, attribute: str) -> int:
    if not is_interface_name(name):
        return 0
    try:
        with open(f"/sys/class/net/{name}/{attribute}", encoding="ascii") as file:  # noqa: PTH123
            return int(file.read())
    except OSError as fault:
        if fault.errno in _LINK_GONE:
            return 0
        raise


def _names_in(directory: str) -> list[str]:
    try:
        return os.listdir(directory)  # noqa: PTH208 - not pathlib, for kactus
    except OSError as fault:
        if fault.errno in _LINK_GONE:
            return []
        raise


def _mac_at(directory: str) -> str:
    try:
        with open(f"{directory}/address", encoding="ascii") as file:  # noqa: PTH123
            return file.read().strip()
    except OSError as fault:
        if fault.errno in _LINK_GONE:
            return ""
        raise


def link_names(process: str = "thread-self") -> frozenset[str]:
    """The link names in the network namespace of a process, by default of the calling thread.

    It does not use rtnetlink, as `socket.if_nameindex` does: that waits, holding the GIL, for the kernel's RTNL lock,
    which plugins hold for milliseconds when they add or delete a link.

    Args:
        process: name of the process in /proc.

    Raises:
        OSError: the process is gone.
    """
    with open(f"/proc/{process}/net/dev", "rb") as file:  # noqa: PTH123
        lines = file.read().splitlines()[2:]
    return frozenset(line.partition(b":")[0].strip().decode("utf-8", "surrogateescape") for line in lines)
