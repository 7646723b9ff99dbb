"""Orphans: plugin processes, and the IPAM plugins they started, whose caller was killed.

No new operation may run concurrently on the same attachment. Orphans are identified in /proc by their environment and
by their standard output, which is still the pipe to the caller. Daemons that a plugin starts on purpose have closed it.
Processes of other users and of other PID namespaces (those of pods) are left alone, whatever their environment. So are
this process and its ancestors, since a plugin with such an environment may itself call kactus.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import time
from collections.abc import Mapping
from contextlib import suppress

from podagent.errors import HostUnavailable
from podagent.host.links import GONE

# Time limit of a round: a plugin that ended may have left its own IPAM plugin behind.
_ROUND_S = 0.25
# Processes that survive this are stuck in the kernel, and are abandoned.
_KILL_PATIENCE_S = 5.0
# While a process executes another program, its environment reads as empty. That takes microseconds, unless the disk is
# slow; a program may also have no environment for good.
_EXEC_PATIENCE_S = 0.1
_EXEC_POLL_S = 0.001
# Processes that have more privileges than this one, which no plugin of it has.
_DENIED = frozenset({errno.EACCES, errno.EPERM})
# Plugins get few variables. Others may have megabytes of them.
_ENVIRONMENT_READ = 64 << 10


def await_orphans(container_id: str, ifname: str, timeout_s: float) -> bool:
    """Waits until no plugin runs on interface `ifname` of sandbox `container_id`.

    Kills plugins that still run after `timeout_s` seconds. Returns whether all are gone.

    Raises:
        HostUnavailable: /proc cannot be read now, so there may be some.
    """
    wanted = {"CNI_CONTAINERID": container_id, "CNI_IFNAME": ifname}
    return await_end(wanted, timeout_s) or kill(wanted)


def await_end(wanted: Mapping[str, str], patience_s: float) -> bool:
    """Waits for the plugins with these environment variables to end. Returns whether all are gone.

    Raises:
        HostUnavailable: see `await_orphans`.
    """
    return _until_gone(_assignments(wanted), patience_s, killing=False)


def kill(wanted: Mapping[str, str]) -> bool:
    """Kills the plugins with these environment variables. Returns whether all are gone.

    Raises:
        HostUnavailable: see `await_orphans`.
    """
    return _until_gone(_assignments(wanted), _KILL_PATIENCE_S, killing=True)


def _assignments(wanted: Mapping[str, str]) -> set[bytes]:
    return {f"{name}={value}".encode() for name, value in wanted.items()}


def _until_gone(wanted: set[bytes], patience_s: float, *, killing: bool) -> bool:
    """Searches until there are none: whenever one has ended, and at least every `_ROUND_S`."""
    deadline = time.monotonic() + patience_s
    try:
        spared = _ancestry()
        while found := _find(wanted, spared):
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            _attend(found, wanted, min(left, _ROUND_S), killing)
    except OSError as error:
        raise HostUnavailable(f"plugins of a killed process may still run, /proc cannot be read now: {error}") from None
    return True


def _attend(found: list[int], wanted: set[bytes], patience_s: float, killing: bool) -> None:
    handles = {pid: _open(pid) for pid in found}
    try:
        for pid, handle in handles.items() if killing else ():
            if _works_on(pid, wanted):  # else the PID may have been recycled before it was opened
                _kill(pid, handle)
        _wait([handle for handle in handles.values() if handle >= 0], patience_s)
    finally:
        for handle in handles.values():
            if handle >= 0:
                os.close(handle)


def _find(wanted: set[bytes], spared: set[int]) -> list[int]:
    pids = (int(name) for name in os.listdir("/proc") if name.isdecimal())  # noqa: PTH208 - not pathlib, for kactus
    return [pid for pid in pids if pid not in spared and _works_on(pid, wanted)]


def _works_on(pid: int, wanted: set[bytes]) -> bool:
    """Whether it is such a plugin. Raises OSError if that is unknown."""
    # An ended process has no environment any more.
    try:
        if os.stat(f"/proc/{pid}").st_uid != os.geteuid():  # noqa: PTH116
            return False
        variables = _environment(pid)
        return (
            b"CNI_COMMAND=" in variables
            and wanted <= set(variables.split(b"\0"))
            and os.readlink(f"/proc/{pid}/fd/1").startswith("pipe:")  # noqa: PTH115
            and os.path.samestat(os.stat(f"/proc/{pid}/ns/pid"), os.stat("/proc/self/ns/pid"))  # noqa: PTH116
            and _is_ours(pid)
        )
    except OSError as error:
        _require_none_of_ours(error)
        return False


def _require_none_of_ours(error: OSError) -> None:
    if error.errno not in GONE and error.errno not in _DENIED:
        raise error


def _is_ours(pid: int) -> bool:
    """Whether it was started by our own user too: set-user-ID programs keep the environment of their caller."""
    with open(f"/proc/{pid}/status", "rb", buffering=0) as status:  # noqa: PTH123
        users = next(line for line in status.read().splitlines() if line.startswith(b"Uid:"))
    return set(users.split()[1:]) == {b"%d" % os.geteuid()}


def _environment(pid: int) -> bytes:
    """The environment of `pid`; of the new program if it executes one just now. Raises OSError."""
    deadline = time.monotonic() + _EXEC_PATIENCE_S
    while True:
        with open(f"/proc/{pid}/environ", "rb", buffering=0) as environ:  # noqa: PTH123
            variables = environ.read(_ENVIRONMENT_READ)
        if variables or time.monotonic() > deadline:
            return variables
        os.readlink(f"/proc/{pid}/exe")  # noqa: PTH115 - fails for zombies and kernel threads, which execute nothing
        time.sleep(_EXEC_POLL_S)


def _ancestry() -> set[int]:
    pids: set[int] = set()
    pid = os.getpid()
    while pid > 0 and pid not in pids:  # a PID may be recycled at any time
        pids.add(pid)
        pid = _parent(pid)
    return pids


def _parent(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as status:  # noqa: PTH123
            # The command name in parentheses may contain blanks and parentheses.
            return int(status.read().rpartition(b")")[2].split()[1])
    except OSError as error:
        _require_none_of_ours(error)
        return 0
    except (ValueError, IndexError):
        return 0


def _open(pid: int) -> int:
    """A pidfd of `pid`; -1 if the process is gone, or the kernel is older than 5.3."""
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return -1


def _kill(pid: int, handle: int) -> None:
    with suppress(OSError):
        if handle >= 0:
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        else:
            os.kill(pid, signal.SIGKILL)


def _wait(handles: list[int], seconds: float) -> None:
    """Returns when one of the processes has ended, or after `seconds`."""
    if not handles:
        # All have ended, or there are no pidfds: search again soon.
        time.sleep(min(seconds, 0.005))
        return
    poll = select.poll()
    for handle in handles:
        poll.register(handle, select.POLLIN)
    poll.poll(int(seconds * 1000) + 1)
