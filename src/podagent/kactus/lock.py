"""The lock of one container: kubelet and agent call at once, and a call that was killed leaves its delegate at work.

A lock is a file that its holder has locked, and removes when it is done. One that was left with something in it was
held by a call that was killed: then the delegates that call had started are waited for first.
"""

from __future__ import annotations

import fcntl
import os
import signal
import time
from contextlib import suppress

from podagent.kactus.failure import TRY_AGAIN_LATER, Failure
from podagent.kactus.log import log

MARK = "CNI_KACTUS_CONTAINER"
"""The environment variable that tells whose delegate a process is: delegates, and what they start, inherit it."""

PATIENCE_S = 100.0
_ORPHAN_PATIENCE_S = 15.0
_KILL_PATIENCE_S = 5.0
_POLL_S = 0.01


class ContainerLock:
    """Held from `acquire` to `release`, or to the end of the process."""

    def __init__(self, directory: str, container_id: str, patience_s: float = PATIENCE_S) -> None:
        self._directory = directory
        self._container_id = container_id
        self._path = f"{directory}/{container_id}"
        self._patience_s = patience_s
        self._fd = -1

    def acquire(self) -> bool:
        """Waits for the lock. Whether a call that held it was killed; nothing that it started is at work any more.

        Raises:
            OSError: the file cannot be used.
            Failure: another call holds it for too long (code 11).
        """
        os.makedirs(self._directory, mode=0o700, exist_ok=True)  # noqa: PTH103
        deadline = time.monotonic() + self._patience_s
        while self._fd < 0:
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                self._await(fd, deadline)
                # Whoever held it before may have removed the file meanwhile: then this lock holds nobody off.
                if _is_at(fd, self._path):
                    self._fd = fd
            finally:
                if self._fd < 0:
                    os.close(fd)
        killed = os.fstat(self._fd).st_size > 0
        if killed:
            log("warning", f"{self._container_id[:12]}: an earlier call was killed")
            _await_orphans(self._container_id)
        os.pwrite(self._fd, b"%-10d\n" % os.getpid(), 0)
        return killed

    def release(self) -> None:
        """Gives the lock up, if it is held."""
        if self._fd >= 0:
            with suppress(OSError):
                os.unlink(self._path)  # noqa: PTH108
            os.close(self._fd)
            self._fd = -1

    def _await(self, fd: int, deadline: float) -> None:
        while not _try_lock(fd):
            if time.monotonic() > deadline:
                raise Failure(TRY_AGAIN_LATER, f"another call for container {self._container_id} takes too long")
            time.sleep(_POLL_S)


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(fd: int, path: str) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(fd))  # noqa: PTH116
    except FileNotFoundError:
        return False


def _await_orphans(container_id: str) -> None:
    if _orphans_gone(container_id, _ORPHAN_PATIENCE_S):
        return
    log("error", f"{container_id[:12]}: the delegates of an earlier call do not come to an end: they are killed")
    for pid in _delegates_at_work(container_id):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    if not _orphans_gone(container_id, _KILL_PATIENCE_S):
        raise Failure(TRY_AGAIN_LATER, f"delegates of an earlier call for container {container_id} cannot be ended")


def _orphans_gone(container_id: str, patience_s: float) -> bool:
    deadline = time.monotonic() + patience_s
    while _delegates_at_work(container_id):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True


def _delegates_at_work(container_id: str) -> list[int]:
    """Delegates of the container whose output still is a pipe: what one leaves behind on purpose has let go of it."""
    wanted = f"{MARK}={container_id}".encode()
    found = []
    for name in os.listdir("/proc"):  # noqa: PTH208
        if name.isdigit():
            with suppress(OSError), open(f"/proc/{name}/environ", "rb") as file:  # noqa: PTH123
                marked = wanted in file.read().split(b"\0")
                if marked and os.readlink(f"/proc/{name}/fd/1").startswith("pipe:"):  # noqa: PTH115
                    found.append(int(name))
    return found
