"""The record store: one file per attachment, written atomically and validated on load.

Layout of the state directory: ``lock`` (one agent at a time), ``attachments/<hash>.json`` (the records) and
``corrupt/`` (damaged files, kept for inspection). Files that a newer version wrote in an unknown schema stay in place
and are never overwritten. All records are cached in memory; reads never access the disk. File names are hashes, never
strings from outside.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import threading
from itertools import chain, count
from pathlib import Path

from podagent.errors import StoreError, UnknownSchema
from podagent.messages import Message
from podagent.model import DefinitionRef, PodKey, Record
from podagent.netconf import NetConf
from podagent.state import recordfile

_log = logging.getLogger(__name__)

_UNFINISHED = ".new"


class Store:
    """Thread-safe. A state directory belongs to one process at a time."""

    def __init__(self, directory: Path) -> None:
        """Opens the directory, creating it if necessary, and loads all records.

        Raises:
            StoreError: it is unusable, or in use by another agent.
        """
        self._lock = threading.Lock()
        self._records: dict[PodKey, dict[str, Record]] = {}
        self._attachments = directory / "attachments"
        self._corrupt = directory / "corrupt"
        self._too_new: set[Path] = set()
        try:
            for path in (directory, self._attachments, self._corrupt):
                path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._own(directory)
            self._load()
            self._directory_fd = os.open(self._attachments, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise StoreError(f"state directory {directory} cannot be used: {error}") from error
        newest = max((record.sequence for of_pod in self._records.values() for record in of_pod.values()), default=0)
        self._sequence = count(newest + 1)

    def of(self, pod: PodKey) -> list[Record]:
        """The records of one pod, in any order."""
        with self._lock:
            return list(self._records.get(pod, {}).values())

    def pods(self) -> list[PodKey]:
        """The pods that have records."""
        with self._lock:
            return list(self._records)

    def attachments(self) -> dict[PodKey, int]:
        """The number of records of each pod that has any."""
        with self._lock:
            return {pod: len(of_pod) for pod, of_pod in self._records.items()}

    def all(self) -> list[Record]:
        """The records of all pods."""
        with self._lock:
            return [record for of_pod in self._records.values() for record in of_pod.values()]

    def definitions_in_use(self) -> list[tuple[DefinitionRef, NetConf]]:
        """The definitions of all attachments, each with the configuration it was attached with."""
        calls = [record.invocation for record in self.all()]
        return [(call.definition, call.netconf) for call in calls if call.definition is not None]

    def __len__(self) -> int:
        with self._lock:
            return sum(map(len, self._records.values()))

    def next_sequence(self) -> int:
        """A number greater than that of every readable record, including those of earlier processes."""
        with self._lock:
            return next(self._sequence)

    def put(self, record: Record) -> None:
        """Writes a record durably: on return it survives a crash of the process and of the machine.

        Raises:
            StoreError: it could not be written; neither disk nor memory changed.
        """
        path = self._path_to_change(record)
        try:
            _write_atomically(path, recordfile.encode(record))
            os.fsync(self._directory_fd)
        except OSError as error:
            raise StoreError(f"cannot write {path}: {error}") from error
        with self._lock:
            self._records.setdefault(record.pod, {})[record.attachment.ifname] = record

    def remove(self, record: Record) -> None:
        """Removes a record. No fsync: if it reappears after a power failure, DEL is merely repeated.

        Raises:
            StoreError: it could not be removed; neither disk nor memory changed.
        """
        path = self._path_to_change(record)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(f"cannot remove {path}: {error}") from error
        with self._lock:
            of_pod = self._records.get(record.pod, {})
            of_pod.pop(record.attachment.ifname, None)
            if not of_pod:
                self._records.pop(record.pod, None)

    def _path_to_change(self, record: Record) -> Path:
        path = self._path(record)
        if path in self._too_new and os.path.lexists(path):
            raise StoreError(
                f"{path} was written by a newer podagent, and is left as it is: install that version again, or move"
                " the file away, which loses the record of the interface"
            )
        self._too_new.discard(path)
        return path

    def _path(self, record: Record) -> Path:
        pod = record.pod
        key = f"{pod.namespace}\0{pod.name}\0{pod.uid}\0{record.attachment.ifname}".encode("utf-8", "surrogatepass")
        return self._attachments / f"{hashlib.sha256(key).hexdigest()[:40]}.json"

    def _own(self, directory: Path) -> None:
        directory.chmod(0o700)
        self._lock_fd = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreError(
                f"state directory {directory} is in use by another podagent: stop it, or choose another --state-dir"
            ) from None

    def _load(self) -> None:
        for path in sorted(self._attachments.iterdir()):
            if path.suffix == ".json":
                self._load_file(path)
            elif path.suffix == _UNFINISHED:
                path.unlink()  # a write interrupted by a crash: the previous version of the record still exists

    def _load_file(self, path: Path) -> None:
        try:
            record = recordfile.decode(path.read_bytes())
            if self._path(record) != path:
                raise StoreError("its name does not match its content: it was copied or renamed")
        except UnknownSchema as error:
            self._too_new.add(path)
            message = "record %s is left as it is, and so is its interface: %s"
            _log.error(message, path, error, extra=Message.RECORD_TOO_NEW.field)
            return
        except (StoreError, IsADirectoryError) as error:  # with other errors, the record may be as good as ever
            kept = self._unused(path)
            path.rename(kept)
            message = "record %s is unusable and was set aside as %s: %s"
            _log.error(message, path.name, kept, error, extra=Message.RECORD_SET_ASIDE.field)
            return
        self._records.setdefault(record.pod, {})[record.attachment.ifname] = record

    def _unused(self, path: Path) -> Path:
        """An unused name in ``corrupt/``; earlier files there are kept."""
        places = (self._corrupt / f"{path.stem}{suffix}.json" for suffix in chain([""], map(".{}".format, count(2))))
        return next(place for place in places if not os.path.lexists(place))


def _write_atomically(path: Path, content: bytes) -> None:
    temporary = path.with_suffix(_UNFINISHED)
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        with open(fd, "wb", closefd=True) as file:  # noqa: PTH123 (an open descriptor, not a path)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)  # noqa: PTH105
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
