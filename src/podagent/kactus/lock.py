"""The lock of one container: kubelet and agent may call concurrently, and a killed call leaves its delegate running.

The holder flocks a file and removes it at the end. A file that was left with content belongs to a killed call; the next
holder waits for that call's delegates first.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable
from contextlib import suppress

from podagent.kactus.failure import TRY_AGAIN_LATER, Failure
from podagent.kactus.log import log

MARK = "CNI_KACTUS_CONTAINER"
"""The environment variable that marks delegates with their container; their child processes inherit it."""

PATIENCE_S = 100.0
_ORPHAN_PATIENCE_S = 15.0
_POLL_S = 0.01


def end_delegates(container_id: str, patience_s: float = _ORPHAN_PATIENCE_S) -> bool:
    """Waits for the delegates of a killed call, then kills the remaining ones.

    Returns whether all are gone.
    """
    from podagent.host import orphans  # noqa: PLC0415 - calls are rarely killed

    marked = {MARK: container_id}
    if orphans.await_end(marked, patience_s):
        return True
    log("error", f"{container_id[:12]}: the delegates of an earlier call do not end and are killed")
    return orphans.kill(marked)


class ContainerLock:
    """Held from `acquire` to `release`, or to the end of the process."""

    def __init__(
        self,
        directory: str,
        container_id: str,
        patience_s: float = PATIENCE_S,
        end_delegates: Callable[[str], bool] = end_delegates,
    ) -> None:
        """
        Args:
            directory: directory of the locks.
            container_id: safe as a file name.
            patience_s: how long to wait for another call, in seconds.
            end_delegates: ends the delegates of a killed call; returns False if it cannot.
        """
        self._directory = directory
        self._container_id = container_id
        self._path = f"{directory}/{container_id}"
        self._patience_s = patience_s
        self._end_delegates = end_delegates
        self._fd = -1

    def acquire(self) -> bool:
        """Waits for the lock, and for the delegates of a killed holder. Returns whether the holder was killed.

        Raises:
            OSError: the file is unusable.
            Failure: another call holds it for too long, or the delegates of a killed one cannot be ended (code 11).
        """
        os.makedirs(self._directory, mode=0o700, exist_ok=True)  # noqa: PTH103
        deadline = time.monotonic() + self._patience_s
        killed = False
        while self._fd < 0:
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                self._await(fd, deadline)
                # The previous holder may have removed the file meanwhile: then this lock protects nothing.
                if _is_at(fd, self._path):
                    killed = self._settle(fd)
                    self._fd = fd
            finally:
                if self._fd < 0:
                    os.close(fd)
        os.pwrite(self._fd, b"%-10d\n" % os.getpid(), 0)
        return killed

    def release(self) -> None:
        """Releases the lock if it is held."""
        if self._fd >= 0:
            with suppress(OSError):  # a file that is left holds the next call up only briefly
                os.unlink(self._path)  # noqa: PTH108
            with suppress(OSError):
                os.close(self._fd)
            self._fd = -1

    def _await(self, fd: int, deadline: float) -> None:
        while not _try_lock(fd):
            if time.monotonic() > deadline:
                raise Failure(TRY_AGAIN_LATER, f"another call for container {self._container_id} takes too long")
            time.sleep(_POLL_S)

    def _settle(self, fd: int) -> bool:
        """Returns whether the previous holder was killed, after ending its delegates. Raises Failure otherwise."""
        killed = os.fstat(fd).st_size > 0
        if killed:
            log("warning", f"{self._container_id[:12]}: an earlier call was killed")
            if not self._end_delegates(self._container_id):
                what = f"delegates of an earlier call for container {self._container_id} cannot be killed"
                raise Failure(TRY_AGAIN_LATER, what)
        return killed


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
