"""A lock on a file, held until the process ends."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


class FileLock:
    """An exclusive flock(2). It belongs to an inode, not to a name: `is_held` compares them.

    `is_held` may be called while another thread is in `take`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._held: list[int] = []

    def is_held(self) -> bool:
        """Whether the file that is at the path now is locked by this object."""
        try:
            there = self._path.lstat()
            return any(os.path.samestat(there, os.fstat(fd)) for fd in self._held)
        except OSError:
            return False

    def take(self) -> None:
        """Locks the file at the path, creating it if necessary.

        Files that were there before stay locked until they are deleted: their directory may only have been renamed.

        Raises:
            BlockingIOError: another process holds the lock.
            OSError: the file cannot be opened.
        """
        if self.is_held():
            return
        # Not for writing: that would keep the file system from being remounted read-only.
        fd = os.open(self._path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(fd)
            raise
        deleted = [each for each in self._held if not os.fstat(each).st_nlink]
        self._held = [*(each for each in self._held if each not in deleted), fd]
        for each in deleted:
            os.close(each)

    def release(self) -> None:
        while self._held:
            os.close(self._held.pop())
