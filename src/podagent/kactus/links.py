"""Which links there are in a network namespace, looked up as cheaply as can be."""

from __future__ import annotations

import os
import re

from podagent.errors import NetnsGone
from podagent.kactus.failure import INVALID_NETNS, Failure

_PROC = re.compile(r"/proc/(\d+)/ns/net")


def require_foreign(netns: str) -> None:
    """Refuses a namespace that does not exist or is our own (CNI's reference library does so too, code 8)."""
    try:
        own = os.stat("/proc/self/ns/net").st_ino == os.stat(netns).st_ino  # noqa: PTH116
    except OSError as fault:
        raise Failure(INVALID_NETNS, f"network namespace {netns} cannot be used: {fault.strerror}") from None
    if own:
        raise Failure(INVALID_NETNS, f"plugin's netns and netns from CNI_NETNS should not be the same: {netns}")


def link_names(netns: str) -> frozenset[str]:
    """The names of all links in the namespace at the path `netns`. Raises Failure (code 8)."""
    process = _PROC.fullmatch(netns)
    try:
        if process is not None:
            return _of_process(process[1])
        from podagent.host.netns import HeldNetns, identify  # noqa: PLC0415 - loads much, and is seldom needed

        fd = os.open(netns, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return frozenset(HeldNetns(identify(netns), fd).links())
        finally:
            os.close(fd)
    except (OSError, NetnsGone) as fault:
        raise Failure(INVALID_NETNS, f"cannot look into network namespace {netns}: {fault}") from None


def _of_process(pid: str) -> frozenset[str]:
    with open(f"/proc/{pid}/net/dev", encoding="ascii", errors="replace") as file:  # noqa: PTH123
        lines = file.read().splitlines()[2:]
    return frozenset(line.partition(":")[0].strip() for line in lines)
