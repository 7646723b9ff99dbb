"""Finds and runs plugin executables: the only module of the product that starts processes.

Every run has a time limit, an output limit, exactly the given environment, three descriptors and its own process
group. If the run does not end cleanly, the whole group is killed. `reply` interprets the output.

It uses descriptor numbers and `os` paths: kactus imports this once per pod operation, and pathlib alone would take
half the time of a plugin run.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import stat
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress

from podagent.cni.reply import Ended
from podagent.errors import PluginError, PluginNotRun, PluginTimeout
from podagent.foreign import excerpt

STDOUT_LIMIT = 4 << 20
STDERR_KEPT = 64 << 10
TERM_GRACE_S = 1.0
# A killed process may be stuck in the kernel; it is abandoned then.
KILL_GRACE_S = 5.0
# ETXTBSY while a package manager writes the executable: six attempts, as in the reference implementation.
_BUSY_WAITS_S = (0.05, 0.1, 0.25, 0.5, 1.0)
_CHUNK = 64 << 10
# The maximum size of a pipe (1 MiB without privileges): more output means that a writer is still running.
_DRAIN_LIMIT = 1 << 20
_IO_FAILURE, _UNKNOWN = 5, 999
# Between fork and exec a child holds copies of all descriptors of this process. With two concurrent starts, one child
# could briefly keep the other's output open, and the other would seem to have left a process behind.
_one_start_at_a_time = threading.Lock()


def find(plugin_type: str, path: Sequence[str]) -> str:
    """Finds the executable of `plugin_type`: the first regular file of that name in the directories of `path`.

    Symbolic links may lead anywhere: users who can write to the directories are trusted.

    Raises:
        PluginNotRun: the type is not a bare file name, or no directory contains it.
    """
    if not plugin_type or "/" in plugin_type or "\0" in plugin_type or plugin_type in (".", ".."):
        raise PluginNotRun(repr(plugin_type[:80]), "not the bare file name of a plugin", _IO_FAILURE)
    # Relative directories are skipped: the plugin's working directory differs from ours.
    for directory in path:
        executable = f"{directory.rstrip('/')}/{plugin_type}"
        if directory.startswith("/") and _is_file(executable):
            return executable
    raise PluginNotRun(plugin_type, f"not found in any of the plugin directories ({':'.join(path)})", _IO_FAILURE)


def _is_file(path: str) -> bool:
    try:
        return stat.S_ISREG(os.stat(path).st_mode)  # noqa: PTH116 - see the module's docstring
    except OSError:
        return False


def run(executable: str, env: Mapping[str, str], stdin: bytes, timeout: float, plugin_type: str) -> Ended:
    """Runs a plugin and waits for it.

    It does not wait for processes left behind by the plugin; one that still holds the output is killed with its group.

    Args:
        executable: absolute path; run without arguments in ``/``.
        env: the whole environment of the child.
        stdin: its input; the plugin need not read it.
        timeout: time limit in seconds; then the process group gets SIGTERM, and SIGKILL after `TERM_GRACE_S`.
        plugin_type: named in errors.

    Raises:
        PluginTimeout: it exceeded the timeout.
        PluginNotRun: it cannot be executed (code 5).
        PluginError: it printed more than `STDOUT_LIMIT`.
    """
    try:
        pipes = _Pipes()
    except OSError as fault:
        raise PluginNotRun(plugin_type, f"cannot be run: {fault.strerror}", _IO_FAILURE) from None
    with pipes:
        # The pipe usually takes all input, so that it is available when the plugin starts.
        unwritten = pipes.write_stdin(memoryview(stdin))
        process = _spawn(executable, env, pipes, plugin_type)
        running = _Running(process, pipes, unwritten, plugin_type)
        return running.outcome(timeout)


def _spawn(executable: str, env: Mapping[str, str], pipes: _Pipes, plugin_type: str) -> subprocess.Popen[bytes]:
    waits = iter(_BUSY_WAITS_S)
    while True:
        try:
            with _one_start_at_a_time:
                process = subprocess.Popen(
                    [executable],
                    stdin=pipes.child_stdin,
                    stdout=pipes.child_stdout,
                    stderr=pipes.child_stderr,
                    env=env,
                    cwd="/",
                    close_fds=True,
                    start_new_session=True,
                )
                pipes.close(pipes.child_stdin, pipes.child_stdout, pipes.child_stderr)
                return process
        except (OSError, ValueError) as fault:
            wait = next(waits, None) if isinstance(fault, OSError) and fault.errno == errno.ETXTBSY else None
            if wait is None:
                raise PluginNotRun(plugin_type, f"{executable} cannot be run: {_reason(fault)}", _IO_FAILURE) from None
        time.sleep(wait)


def _reason(fault: OSError | ValueError) -> str:
    if not isinstance(fault, OSError):
        return str(fault)
    reasons = {
        errno.ENOENT: "the file, or the interpreter its first line names, does not exist",
        errno.EACCES: "it is not executable",
        errno.ENOEXEC: "it is neither an executable for this machine nor a script with a #! line",
        errno.ETXTBSY: "it is still being written to",
    }
    return reasons.get(fault.errno or 0) or fault.strerror or str(fault)


class _Pipes:
    """The child's standard descriptors, and our non-blocking ends of them."""

    def __init__(self) -> None:
        self._open: list[int] = []
        try:
            for _ in range(3):
                self._open += os.pipe()
        except OSError:
            self.__exit__()
            raise
        self.child_stdin, self.stdin, self.stdout, self.child_stdout, self.stderr, self.child_stderr = self._open
        for ours in (self.stdin, self.stdout, self.stderr):
            os.set_blocking(ours, False)

    def __enter__(self) -> _Pipes:
        return self

    def __exit__(self, *_: object) -> None:
        while self._open:
            os.close(self._open.pop())

    def close(self, *descriptors: int) -> None:
        for descriptor in descriptors:
            self._open.remove(descriptor)
            os.close(descriptor)

    def write_stdin(self, data: memoryview) -> memoryview:
        """Writes as much as fits and returns the rest. Closes our end when all is written or the reader is gone."""
        try:
            while data:
                data = data[os.write(self.stdin, data) :]
        except BlockingIOError:
            return data
        except BrokenPipeError:
            data = data[:0]
        self.close(self.stdin)
        return data


class _Running:
    """One plugin process, from its start until it is reaped."""

    def __init__(self, process: subprocess.Popen[bytes], pipes: _Pipes, unwritten: memoryview, plugin: str) -> None:
        self._process = process
        self._pipes = pipes
        self._unwritten = unwritten
        self._plugin = plugin
        self._stdout = bytearray()
        self._stderr = bytearray()
        self._outputs = {pipes.stdout: self._stdout, pipes.stderr: self._stderr}
        self._exited = False
        self._pidfd = _pidfd(process.pid)
        self._poll = select.poll()
        for descriptor in (*self._outputs, *self._pidfd):
            self._poll.register(descriptor, select.POLLIN)
        if unwritten:
            self._poll.register(pipes.stdin, select.POLLOUT)

    def outcome(self, timeout: float) -> Ended:
        """Waits for the end of the process and reaps it. Raises like `run`."""
        clean = False
        try:
            if not self._attend(timeout):
                self._signal_group(signal.SIGTERM)
                self._attend(TERM_GRACE_S)
                reason = f"did not end within {timeout:g} s; its process group was killed"
                raise PluginTimeout(self._plugin, reason, _UNKNOWN, excerpt(bytes(self._stderr)))
            clean = not self._outputs and self._exit_status() == (os.CLD_EXITED, 0)
        finally:
            if not clean:
                # Before reaping: while the zombie exists, its process group ID cannot be recycled.
                self._signal_group(signal.SIGKILL)
            self._reap()
        return Ended(self._process.returncode, bytes(self._stdout), bytes(self._stderr), bool(self._outputs))

    def _attend(self, patience: float) -> bool:
        """Serves the pipes until the process exits, at most `patience` seconds. Returns whether it exited."""
        deadline = time.monotonic() + patience
        while not self._exited:
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            for descriptor, _ in self._poll.poll(self._wait_ms(left)):
                self._serve(descriptor)
            if not self._pidfd:
                self._exited = self._exit_status() is not None
        for descriptor in tuple(self._outputs):
            self._drain(descriptor)
        return True

    def _wait_ms(self, left: float) -> int:
        # Kernels before 5.3 have no pidfd: poll for the exit every few milliseconds.
        return int(min(left, 60.0) * 1000) + 1 if self._pidfd else 3

    def _serve(self, descriptor: int) -> None:
        if descriptor in self._outputs:
            self._read(descriptor)
        elif descriptor in self._pidfd:
            self._exited = True
        else:
            self._unwritten = self._pipes.write_stdin(self._unwritten)
            if not self._unwritten:
                self._poll.unregister(descriptor)

    def _read(self, descriptor: int) -> int:
        """Reads one chunk of output. Returns its size, 0 if nothing is available or at the end."""
        try:
            portion = os.read(descriptor, _CHUNK)
        except BlockingIOError:
            return 0
        kept = self._outputs[descriptor]
        kept += portion
        if not portion:
            self._poll.unregister(descriptor)
            del self._outputs[descriptor]
        elif kept is self._stderr:
            del kept[:-STDERR_KEPT]
        elif len(kept) > STDOUT_LIMIT:
            limit = f"{STDOUT_LIMIT >> 20} MiB"
            raise PluginError(self._plugin, f"printed more than {limit}; its process group was killed", _UNKNOWN)
        return len(portion)

    def _drain(self, descriptor: int) -> None:
        taken = 0
        while taken < _DRAIN_LIMIT and (size := self._read(descriptor)):
            taken += size

    def _exit_status(self) -> tuple[int, int] | None:
        """The process's (si_code, si_status), None while it runs; does not reap it."""
        status = os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        return None if status is None else (status.si_code, status.si_status)

    def _signal_group(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def _reap(self) -> None:
        for descriptor in self._pidfd:
            os.close(descriptor)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(KILL_GRACE_S)


def _pidfd(pid: int) -> tuple[int, ...]:
    """A pidfd, which becomes readable when the process exits; empty on kernels without support."""
    try:
        return (os.pidfd_open(pid),)
    except (AttributeError, OSError):
        return ()
