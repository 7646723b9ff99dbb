"""The files of the state directory: whose it is, and how one is read, written and set aside. No record is parsed here.

Layout: ``lock`` (one agent at a time), ``attachments/<hash>.json`` (the records), ``corrupt/`` (damaged files, kept
for inspection) and ``reserve`` (space for a full disk). A second lock, outside, is named after the path: it holds while
the directory itself is missing.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import chain, count
from pathlib import Path

from podagent.errors import StoreError
from podagent.model import Record
from podagent.state.lock import FileLock
from podagent.state.reserve import Reserve, is_full

LOCKS = Path("/run/podagent/agents")
"""The locks that are named after paths of state directories."""

_LARGEST_FILE = 16 << 20
_UNFINISHED = re.compile(r"[0-9a-f]{40}(\..*)?\.new")
_KINDS: Mapping[int, str] = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class StateDirectory:
    """`claim` comes first, and runs in one thread at a time; all else is thread-safe.

    Only files are records. Whatever else is in the place of one is left alone, or moved away to make room for it.
    """

    def __init__(self, path: Path, locks: Path = LOCKS) -> None:
        """
        Args:
            path: the directory.
            locks: where its second lock is.
        """
        self._path = path
        self._locks = locks
        self._attachments = path / "attachments"
        self._corrupt = path / "corrupt"
        of_path = hashlib.sha256(os.fsencode(os.path.realpath(path))).hexdigest()[:32]
        self._held = (FileLock(locks / f"{of_path}.lock"), FileLock(path / "lock"))
        self._reserve = Reserve(path / "reserve")
        self._fd = -1

    def __str__(self) -> str:
        return str(self._path)

    def is_claimed(self) -> bool:
        """Whether the directory at the path is the one that was claimed."""
        try:
            same = os.path.samestat(self._attachments.lstat(), os.fstat(self._fd))
        except OSError:
            return False
        return same and all(lock.is_held() for lock in self._held)

    def claim(self) -> None:
        """Makes the directory at the path ours, creating it if necessary.

        Raises:
            StoreError: it is unusable, or in use by another agent.
        """
        try:
            self._locks.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._held[0].take()
            for path in (self._path, self._attachments, self._corrupt):
                path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._path.chmod(0o700)
            self._held[1].take()
            self._reopen()
            self.fill_reserve()
        except BlockingIOError:
            raise StoreError(
                f"state directory {self} is in use by another podagent: stop it, or choose another --state-dir"
            ) from None
        except OSError as error:
            raise StoreError(f"state directory {self} cannot be used: {error}") from error

    def release(self) -> None:
        """As the end of the process does."""
        for lock in self._held:
            lock.release()
        self._close()

    def fill_reserve(self) -> None:
        """Sets space aside for a full disk, if that is possible."""
        self._reserve.fill()

    def path_of(self, record: Record) -> Path:
        """The place of a record. Its name is a hash, never a string from outside."""
        pod = record.pod
        key = f"{pod.namespace}\0{pod.name}\0{pod.uid}\0{record.attachment.ifname}".encode("utf-8", "surrogatepass")
        return self._attachments / f"{hashlib.sha256(key).hexdigest()[:40]}.json"

    def entries(self) -> Iterator[Path]:
        """What is among the records, in order. Removes the rest of writes that a crash interrupted. Raises OSError."""
        for path in sorted(self._attachments.iterdir()):
            if _UNFINISHED.fullmatch(path.name) and stat.S_ISREG(path.lstat().st_mode):
                path.unlink()  # the previous version of the record still exists
            else:
                yield path

    def read(self, path: Path) -> bytes:
        """The content of a file. It never blocks, and follows no link.

        Raises:
            StoreError: it cannot be a record, by its kind or size.
            OSError: it cannot be read.
        """
        _require_plausible(path.lstat())  # before `open`, which acts on some devices
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(fd, "rb") as file:  # noqa: PTH123 (an open descriptor, not a path)
            _require_plausible(os.fstat(fd))
            return file.read(_LARGEST_FILE)

    def has(self, path: Path, size: int) -> bool:
        """Whether a file of this size is at the path."""
        try:
            there = path.lstat()
        except OSError:
            return False
        return stat.S_ISREG(there.st_mode) and there.st_size == size

    def write_beside(self, path: Path, content: bytes, *, urgent: bool = False) -> Path:
        """Writes durably to a new file, which can then replace the one at `path`.

        Args:
            urgent: if the disk is full, use the space that was set aside.

        Raises:
            StoreError: the content is too large.
            OSError: it cannot be written.
        """
        if len(content) > _LARGEST_FILE:
            raise StoreError(f"cannot write {path}: {_excess(len(content))}")
        try:
            return self._write_new(path, content)
        except OSError as error:
            if not (urgent and is_full(error)):
                raise
            self._reserve.spend()
            return self._write_new(path, content)

    def _write_new(self, path: Path, content: bytes) -> Path:
        fd, name = tempfile.mkstemp(".new", f"{path.stem}.", self._attachments)
        unfinished = Path(name)
        try:
            with open(fd, "wb") as file:  # noqa: PTH123 (an open descriptor, not a path)
                file.write(content)
                file.flush()
                os.fsync(fd)
        except OSError:
            unfinished.unlink(missing_ok=True)
            raise
        return unfinished

    def replace(self, path: Path, unfinished: Path) -> None:
        """Puts a file that `write_beside` made at `path`. Raises OSError."""
        self._make_way(path)
        unfinished.replace(path)

    def remove(self, path: Path) -> None:
        """Removes a file, if there is one. Raises OSError."""
        self._make_way(path)
        with suppress(FileNotFoundError, NotADirectoryError):
            path.unlink()

    def sync(self) -> None:
        """Makes the names of the records durable. Raises OSError."""
        os.fsync(self._fd)

    def set_aside(self, path: Path) -> Path:
        """Moves what is no record to ``corrupt/``, and keeps earlier ones. Returns its new place. Raises OSError."""
        places = (self._corrupt / f"{path.stem}{suffix}.json" for suffix in chain([""], map(".{}".format, count(2))))
        place = next(place for place in places if not os.path.lexists(place))
        return path.rename(place)

    def _make_way(self, path: Path) -> None:
        if os.path.lexists(path) and not stat.S_ISREG(path.lstat().st_mode):
            self.set_aside(path)

    def _reopen(self) -> None:
        fd = os.open(self._attachments, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
        self._close()
        self._fd = fd

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1


def _require_plausible(there: os.stat_result) -> None:
    if not stat.S_ISREG(there.st_mode):
        raise StoreError(f"it is {_KINDS.get(stat.S_IFMT(there.st_mode), 'no file')}")
    if there.st_size > _LARGEST_FILE:
        raise StoreError(_excess(there.st_size))


def _excess(size: int) -> str:
    return f"it has {size >> 20} MiB, and a record at most {_LARGEST_FILE >> 20}"
