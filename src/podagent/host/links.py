"""The names of the links in a network namespace, read as cheaply as can be. Light to import, for kactus' sake."""

from __future__ import annotations

_BEFORE, _AFTER = "/proc/", "/ns/net"


def process_of(path: str) -> str:
    """The PID in ``/proc/<pid>/ns/net``, "" if a namespace's path is another one."""
    process = path[len(_BEFORE) : -len(_AFTER)]
    # Not by a regular expression: to compile one would take longer than to read the links.
    return process if path == f"{_BEFORE}{process}{_AFTER}" and process.isascii() and process.isdigit() else ""


def link_names(process: str = "thread-self") -> frozenset[str]:
    """Of the namespace of a process, given as its name in /proc; without one, of the calling thread's.

    Not by rtnetlink, as `socket.if_nameindex` does: that waits, holding Python's own lock, for the kernel's network
    lock, which plugins hold for milliseconds when they make or remove a link.

    Raises:
        OSError: the process is gone.
    """
    with open(f"/proc/{process}/net/dev", "rb") as file:  # noqa: PTH123
        lines = file.read().splitlines()[2:]
    return frozenset(line.partition(b":")[0].strip().decode("utf-8", "surrogateescape") for line in lines)
