"""Disk space that is set aside, so that records can be rewritten when the disk is full."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path

_SIZE = 256 << 10
"""Room for a record of usual size for each worker: a rewritten one frees the space of the one before."""


class Reserve:
    """A file without content. Never raises: without a reserve, memory has the records until there is space."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def fill(self) -> None:
        """Sets the space aside, if that is possible."""
        with suppress(OSError):
            if self._path.lstat().st_size >= _SIZE:
                return
        try:
            fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
        except OSError:
            return
        try:
            os.posix_fallocate(fd, 0, _SIZE)
        except OSError:
            self.spend()  # half of it would only keep others from writing
        finally:
            os.close(fd)

    def spend(self) -> None:
        """Frees the space."""
        with suppress(OSError):
            self._path.unlink()


def is_full(error: OSError) -> bool:
    """Whether a write failed for lack of space."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)
