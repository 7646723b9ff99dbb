"""Finds and runs plugin executables.

Every run has a time limit, an output limit, exactly the given environment, three descriptors and its own process
group. If the run does not end cleanly, the whole group is killed. `reply` interprets the output.

It uses descriptor numbers and `os` paths: kactus imports this once per pod operation, and pathlib alone would take
half the time of a plugin run.
"""

from __future__ import annotations

import os
import select
import signal
import stat
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from podagent.cni.reply import Ended
from podagent.cni.start import KILL_GRACE_S, CannotStart, Program, StartTimeout, reason, start
from podagent.errors import PluginError, PluginNotRun, PluginTimeout
from podagent.foreign import excerpt

STDOUT_LIMIT = 4 << 20
STDERR_KEPT = 64 << 10
TERM_GRACE_S = 1.0
SLOW_AFTER_S = 10.0
_CHUNK = 64 << 10
# The maximum size of a pipe (1 MiB without privileges): more output means that a writer is still running.
_DRAIN_LIMIT = 1 << 20
_IO_FAILURE, _UNKNOWN = 5, 999
# Between its fork and the moment before its exec when it closes them, a child holds copies of all descriptors of this
# process: another plugin's output may stay open a little after that plugin has ended.
_COPIES_CLOSE_S = 0.1


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


def run(
    executable: str,
    env: Mapping[str, str],
    stdin: bytes,
    timeout: float,
    plugin_type: str,
    args: tuple[str, ...] = (),
    stop: int | None = None,
    on_slow: Callable[[], None] = lambda: None,
) -> Ended:
    """Runs a plugin, of CNI or of a kubeconfig, and waits for it.

    It does not wait for processes left behind by the plugin; one that still holds the output is killed with its group.

    Args:
        executable: absolute path; run in ``/``.
        env: the whole environment of the child.
        stdin: its input; the plugin need not read it.
        timeout: time limit in seconds, for the start too; then the process group gets SIGTERM, and SIGKILL after
            `TERM_GRACE_S`.
        plugin_type: named in errors.
        args: its arguments; plugins of CNI have none.
        stop: a descriptor; once it is readable or its other end is closed, the process group is killed.
        on_slow: called if it is still at work after `SLOW_AFTER_S`, if that is before the timeout.

    Raises:
        PluginTimeout: it exceeded the timeout.
        PluginNotRun: it cannot be executed (code 5); or there are too many processes, threads or descriptors.
        PluginError: it printed more than `STDOUT_LIMIT`, or was stopped.
    """
    deadline = time.monotonic() + timeout
    try:
        pipes = _Pipes()
    except OSError as fault:
        raise PluginNotRun(plugin_type, f"cannot be run: {reason(fault)}", _IO_FAILURE) from None
    with pipes:
        # The pipe usually takes all input, so that it is available when the plugin starts.
        unwritten = pipes.write_stdin(memoryview(stdin))
        try:
            process = start(Program(executable, env, *pipes.hand_over(), args), deadline)
        except StartTimeout:
            late = f"{executable} could not be read within {timeout:g} s: is its file system available?"
            raise PluginTimeout(plugin_type, late, _UNKNOWN) from None
        except CannotStart as fault:
            raise PluginNotRun(plugin_type, f"{executable} cannot be run: {fault}", _IO_FAILURE) from None
        return _Running(process, pipes, unwritten, plugin_type, timeout, stop, on_slow).outcome(deadline)


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
        child_stdin, self.stdin, self.stdout, child_stdout, self.stderr, child_stderr = self._open
        self._of_child = child_stdin, child_stdout, child_stderr
        for ours in (self.stdin, self.stdout, self.stderr):
            os.set_blocking(ours, False)

    def __enter__(self) -> _Pipes:
        return self

    def __exit__(self, *_: object) -> None:
        while self._open:
            os.close(self._open.pop())

    def hand_over(self) -> tuple[int, int, int]:
        """The child's descriptors, which another closes."""
        self._open = [descriptor for descriptor in self._open if descriptor not in self._of_child]
        return self._of_child

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

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        pipes: _Pipes,
        unwritten: memoryview,
        plugin: str,
        timeout: float,
        stop: int | None,
        on_slow: Callable[[], None],
    ) -> None:
        self._process = process
        self._pipes = pipes
        self._unwritten = unwritten
        self._plugin = plugin
        self._timeout = timeout
        self._stop = stop
        self._on_slow = on_slow
        self._stdout = bytearray()
        self._stderr = bytearray()
        self._outputs = {pipes.stdout: self._stdout, pipes.stderr: self._stderr}
        self._exited = False
        self._pidfd = _pidfd(process.pid)
        self._poll = select.poll()
        for descriptor in (*self._outputs, *self._pidfd):
            self._poll.register(descriptor, select.POLLIN)
        if stop is not None:
            self._poll.register(stop, select.POLLIN)
        if unwritten:
            self._poll.register(pipes.stdin, select.POLLOUT)

    def outcome(self, deadline: float) -> Ended:
        """Waits for the end of the process until `deadline` (monotonic seconds) and reaps it. Raises like `run`."""
        clean = False
        try:
            if not self._ends_before(deadline):
                self._signal_group(signal.SIGTERM)
                self._attend(time.monotonic() + TERM_GRACE_S)
                reason = f"did not end within {self._timeout:g} s; its process group was killed"
                raise PluginTimeout(self._plugin, reason, _UNKNOWN, excerpt(bytes(self._stderr)))
            clean = not self._outputs and self._exit_status() == (os.CLD_EXITED, 0)
        finally:
            if not clean:
                # Before reaping: while the zombie exists, its process group ID cannot be recycled.
                self._signal_group(signal.SIGKILL)
            self._reap()
        return Ended(self._process.returncode, bytes(self._stdout), bytes(self._stderr), bool(self._outputs))

    def _ends_before(self, deadline: float) -> bool:
        slow_at = time.monotonic() + SLOW_AFTER_S
        if slow_at < deadline:
            if self._attend(slow_at):
                return True
            self._on_slow()
        return self._attend(deadline)

    def _attend(self, deadline: float) -> bool:
        """Serves the pipes until the process exits, at most until `deadline`. Returns whether it exited."""
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

    def _drain(self, descriptor: int) -> None:
        """Reads to the end, or as much as a process that ended can have written."""
        taken, deadline = 0, time.monotonic() + _COPIES_CLOSE_S
        end = select.poll()
        end.register(descriptor, select.POLLIN)
        while taken < _DRAIN_LIMIT and descriptor in self._outputs:
            left = deadline - time.monotonic()
            if left <= 0 or not end.poll(left * 1000):
                return
            taken += self._read(descriptor)

    def _wait_ms(self, left: float) -> int:
        # Kernels before 5.3 have no pidfd: poll for the exit every few milliseconds.
        return int(min(left, 60.0) * 1000) + 1 if self._pidfd else 3

    def _serve(self, descriptor: int) -> None:
        if descriptor in self._outputs:
            self._read(descriptor)
        elif descriptor in self._pidfd:
            self._exited = True
        elif descriptor == self._stop:
            raise PluginError(self._plugin, "was stopped; its process group was killed", _UNKNOWN)
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
