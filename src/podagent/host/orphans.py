"""Plugin processes of a previous life of the agent that still work on an attachment.

When the agent is killed its plugins, and the IPAM plugins they started, run on. A new operation for the same attachment
must not run beside them. They are recognised by their environment in /proc; this module starts nothing and reads
nothing else.
"""

from __future__ import annotations

import os
import select
import signal
import time
from contextlib import suppress

# How long a round waits at most: a plugin that ended may have left an IPAM plugin of its own behind.
_ROUND_S = 0.25
# Rounds of killing before those that will not go (stuck in the kernel) are left to the kernel.
_KILL_ROUNDS = 8


def await_leftovers(container_id: str, ifname: str, timeout_s: float) -> int:
    """Returns once no other process works on the interface `ifname` of the sandbox `container_id`.

    Those that are still there after `timeout_s` seconds are killed. This process, its ancestors (kactus may itself be
    called by a plugin with this environment) and processes in other PID namespaces (a pod's own) are left alone.

    Returns:
        How many processes were found at work at first.
    """
    wanted = {f"CNI_CONTAINERID={container_id}".encode(), f"CNI_IFNAME={ifname}".encode()}
    spared = _ancestry()
    deadline = time.monotonic() + timeout_s
    at_first = len(leftovers := _find(wanted, spared))
    while leftovers and (left := deadline - time.monotonic()) > 0:
        _wait(leftovers, wanted, min(left, _ROUND_S))
        leftovers = _find(wanted, spared)
    for _ in range(_KILL_ROUNDS):
        if not leftovers:
            break
        _kill(leftovers, wanted)
        leftovers = _find(wanted, spared)
    return at_first


def _find(wanted: set[bytes], spared: set[int]) -> list[int]:
    own_namespace = _pid_namespace("self")
    return [
        pid
        for name in os.listdir("/proc")  # noqa: PTH208 - pathlib is not imported for kactus' sake
        if name.isdecimal() and (pid := int(name)) not in spared
        if _works_on(pid, wanted) and _pid_namespace(name) == own_namespace
    ]


def _works_on(pid: int, wanted: set[bytes]) -> bool:
    # An exited process has no environment any more, a foreign one may not be read.
    try:
        with open(f"/proc/{pid}/environ", "rb", buffering=0) as environ:  # noqa: PTH123
            variables = environ.read()
    except OSError:
        return False
    return b"CNI_COMMAND=" in variables and wanted <= set(variables.split(b"\0"))


def _pid_namespace(name: str) -> int:
    try:
        return os.stat(f"/proc/{name}/ns/pid").st_ino  # noqa: PTH116
    except OSError:
        return -1


def _ancestry() -> set[int]:
    pids: set[int] = set()
    pid = os.getpid()
    while pid > 0 and pid not in pids:
        pids.add(pid)
        pid = _parent(pid)
    return pids


def _parent(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as status:  # noqa: PTH123
            # The command name in parentheses may itself hold blanks and parentheses.
            return int(status.read().rpartition(b")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return 0


def _wait(pids: list[int], wanted: set[bytes], seconds: float) -> None:
    """Returns when one of `pids` has ended or `seconds` have passed."""
    handles = [handle for pid in pids if (handle := _open(pid, wanted)) >= 0]
    try:
        _poll(handles, seconds)
    finally:
        _close(handles)


def _kill(pids: list[int], wanted: set[bytes]) -> None:
    """Kills `pids` and gives them a moment to be gone."""
    handles = []
    for pid in pids:
        handle = _open(pid, wanted)
        with suppress(OSError):
            if handle >= 0:
                handles.append(handle)
                signal.pidfd_send_signal(handle, signal.SIGKILL)
            elif not _has_pidfd() and _works_on(pid, wanted):
                os.kill(pid, signal.SIGKILL)
    try:
        _poll(handles, _ROUND_S)
    finally:
        _close(handles)


def _open(pid: int, wanted: set[bytes]) -> int:
    """A descriptor of process `pid`, -1 if that is gone: its number may have passed to another one meanwhile."""
    try:
        handle = os.pidfd_open(pid)
    except (AttributeError, OSError):
        return -1
    if _works_on(pid, wanted):
        return handle
    os.close(handle)
    return -1


def _has_pidfd() -> bool:
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError):
        return False
    return True


def _poll(handles: list[int], seconds: float) -> None:
    if not handles:
        # All gone in the meantime, or a kernel before 5.3: look again soon.
        time.sleep(min(seconds, 0.005))
        return
    poll = select.poll()
    for handle in handles:
        poll.register(handle, select.POLLIN)
    poll.poll(int(seconds * 1000) + 1)


def _close(handles: list[int]) -> None:
    for handle in handles:
        os.close(handle)
