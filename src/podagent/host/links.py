"""Reads the link names of a network namespace at minimal cost. Cheap to import, for kactus."""

from __future__ import annotations

_BEFORE, _AFTER = "/proc/", "/ns/net"


def process_of(path: str) -> str:
    """The PID in ``/proc/<pid>/ns/net``, "" for other paths."""
    process = path[len(_BEFORE) : -len(_AFTER)]
    # No regular expression: compiling one takes longer than reading the links.
    return process if path == f"{_BEFORE}{process}{_AFTER}" and process.isascii() and process.isdigit() else ""


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
