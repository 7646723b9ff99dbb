"""Starts processes: the only module of the product that does.

The kernel reads the executable at a start, so a start can hang indefinitely on a network file system that does not
answer. No other start waits for it. It is given up at a deadline.
"""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from podagent import shortage
from podagent.errors import OutOfThreads

# ETXTBSY while a package manager writes the executable: six attempts, as in the reference implementation.
_BUSY_WAITS_S = (0.05, 0.1, 0.25, 0.5, 1.0)
# A killed process may be stuck in the kernel; it is abandoned then.
KILL_GRACE_S = 5.0


class CannotStart(Exception):
    """The executable cannot be run, or the host or the service has run out of something."""


class StartTimeout(Exception):
    """The executable was not read in time. It was not run."""


class Program(NamedTuple):
    """An executable, run in ``/`` with its whole environment and its three descriptors."""

    executable: str
    env: Mapping[str, str]
    stdin: int
    stdout: int
    stderr: int
    args: tuple[str, ...] = ()


def start(program: Program, deadline: float) -> subprocess.Popen[bytes]:
    """Starts a process in a process group of its own.

    Args:
        program: its descriptors are closed in this process, whether it starts or not.
        deadline: in monotonic seconds.

    Raises:
        CannotStart: the text says why, and the way out.
        StartTimeout: `deadline` has passed.
    """
    try:
        return _Start(program).process_by(deadline)
    except (OSError, ValueError, OutOfThreads) as fault:
        raise CannotStart(reason(fault)) from None


def reason(fault: Exception) -> str:
    """Why a process cannot be started, and the way out."""
    if not isinstance(fault, OSError):
        return str(fault)
    reasons = {
        errno.ENOENT: "the file, or the interpreter its first line names, does not exist",
        errno.EACCES: "it is not executable",
        errno.ENOEXEC: "it is neither an executable for this machine nor a script with a #! line",
        errno.ETXTBSY: "it is still being written to",
    }
    text = reasons.get(fault.errno or 0) or fault.strerror or str(fault)
    way_out = shortage.remedy(fault.errno)
    return f"{text}; {way_out}" if way_out else text


class _Start(threading.Thread):
    """A thread of its own for a start, which is abandoned at the deadline."""

    def __init__(self, program: Program) -> None:
        super().__init__(name="plugin-start", daemon=True)
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None
        self._fault: BaseException | None = None
        self._given_up = False

    def process_by(self, deadline: float) -> subprocess.Popen[bytes]:
        """Raises StartTimeout after `deadline`, OutOfThreads, and what Popen raises."""
        try:
            shortage.start(self)
        except OutOfThreads:
            self._close()
            raise
        self.join(max(0.0, deadline - time.monotonic()))
        if self.is_alive():
            self._give_up()
        if self._process is None:
            raise self._fault or StartTimeout
        return self._process

    def run(self) -> None:
        try:
            self._process = self._when_not_busy(_BUSY_WAITS_S)
        except BaseException as fault:
            self._fault = fault
        finally:
            self._close()
        if self._given_up:
            self._end()

    def _when_not_busy(self, waits: Sequence[float]) -> subprocess.Popen[bytes]:
        try:
            return self._popen()
        except OSError as fault:
            if fault.errno != errno.ETXTBSY or not waits or self._given_up:
                raise
        time.sleep(waits[0])
        return self._when_not_busy(waits[1:])

    def _popen(self) -> subprocess.Popen[bytes]:
        program = self._program
        _read_a_byte_of(program.executable)
        if self._given_up:
            raise StartTimeout
        return subprocess.Popen(
            [program.executable, *program.args], stdin=program.stdin, stdout=program.stdout, stderr=program.stderr,
            env=program.env, cwd="/", close_fds=True, start_new_session=True,
        )  # fmt: skip

    def _close(self) -> None:
        for descriptor in (self._program.stdin, self._program.stdout, self._program.stderr):
            os.close(descriptor)

    def _give_up(self) -> None:
        """Kills the process, which will not run the executable then, and raises StartTimeout.

        If it is stuck in the kernel, or the kernel does not list it, it is killed as soon as it comes back.
        """
        self._given_up = True
        for pid in _children(self.native_id):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.join(KILL_GRACE_S)
        if not self.is_alive():
            self._end()  # it may have ended just before
        raise StartTimeout

    def _end(self) -> None:
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


def _read_a_byte_of(executable: str) -> None:
    """Hangs if the exec would.

    Popen uses vfork; before 3.11.4 Python stops all threads until the exec (gh-104372).
    """
    with suppress(PermissionError):
        fd = os.open(executable, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.read(fd, 1)
        finally:
            os.close(fd)


def _children(thread: int | None) -> list[int]:
    """The processes that a thread has started and not reaped; Popen says only after the exec which it is."""
    try:
        with open(f"/proc/self/task/{thread}/children", "rb") as file:  # noqa: PTH123
            return [int(pid) for pid in file.read().split()]
    except OSError:
        return []
