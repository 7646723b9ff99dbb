"""The record store: all records in memory, and one file for each, written atomically and validated on load.

Memory counts while the agent runs: reads never access the disk, and files that something else removes meanwhile are
written again. A record of an unknown schema stops the load.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import count
from pathlib import Path

from podagent.decide.room import require_room
from podagent.errors import StoreError
from podagent.messages import Message
from podagent.model import DefinitionRef, PodKey, Record
from podagent.netconf import NetConf
from podagent.state import recordfile
from podagent.state.directory import StateDirectory
from podagent.state.index import Index
from podagent.state.reading import Reading, unwatched

_log = logging.getLogger(__name__)


class Store:
    """Thread-safe. A state directory belongs to one process at a time. Empty until `load`.

    Attributes:
        loaded: whether all records of earlier processes are known.
        trouble: what keeps the disk from holding what memory holds, "" if nothing does.
    """

    def __init__(self, files: StateDirectory, restore_others: Callable[[], None] = lambda: None) -> None:
        """Claims the directory, creating it if necessary. Raises StoreError.

        Args:
            files: the directory.
            restore_others: called after the directory was lost; writes what else belongs there. Raises StoreError.
        """
        self._files = files
        self._restore_others = restore_others
        self._reading = Reading(files)
        self._lock = threading.Lock()
        self._index = Index()
        self._claiming = threading.Lock()
        self._whole = True  # False: the files of a directory that replaced ours are yet to be read
        self._unwritten: set[Path] = set()
        self._sequence = count(1)
        self.loaded = False
        self.trouble = ""
        files.claim()

    def load(self, expect: Callable[[float], None] = unwatched) -> None:
        """Reads the records of earlier processes.

        Args:
            expect: called before each file with the time limit for it in seconds.

        Raises:
            UnknownSchema: a newer version wrote one of them; the text has the remedy.
            StoreError: the directory cannot be read.
        """
        self._learn_all(expect)
        self._sequence = count(1 + max((record.sequence for record in self.all()), default=0))
        self.loaded = True

    def of(self, pod: PodKey) -> list[Record]:
        """The records of one pod, in any order."""
        with self._lock:
            return self._index.of(pod)

    def pods(self) -> list[PodKey]:
        """The pods that have records."""
        with self._lock:
            return self._index.pods()

    def attachments(self) -> dict[PodKey, int]:
        """The number of records of each pod that has any."""
        with self._lock:
            return self._index.counts()

    def all(self) -> list[Record]:
        """The records of all pods."""
        with self._lock:
            return self._index.all()

    def definitions_in_use(self) -> list[tuple[DefinitionRef, NetConf]]:
        """The definitions of all attachments, each with the configuration it was attached with."""
        calls = [record.invocation for record in self.all()]
        return [(call.definition, call.netconf) for call in calls if call.definition is not None]

    def __len__(self) -> int:
        return sum(self.attachments().values())

    @property
    def detaching(self) -> int:
        """The number of records of attachments that are to be detached."""
        return self._index.detaching

    def may_have_records(self) -> bool:
        """Whether there are records, as far as is known: before `load` there may always be some."""
        return not self.loaded or len(self) > 0

    def next_sequence(self) -> int:
        """A number greater than all before, and than that of every record of earlier processes."""
        with self._lock:
            return next(self._sequence)

    def put(self, record: Record) -> None:
        """Writes a record durably: on return it survives a crash of the process and of the machine.

        Raises:
            TooManyRecords: it is a new one, and the pod or its namespace has no room for it.
            StoreError: it could not be written.
        """
        content = recordfile.encode(record)
        self._require_room(record, len(content))
        self._require_whole()
        self._write_durably(record, content)

    def keep(self, record: Record) -> None:
        """As `put`, of an interface with a record: if the disk fails, memory has it, and the file follows later."""
        content = recordfile.encode(record)
        try:
            self._require_whole()
            self._write_durably(record, content, urgent=True)
        except StoreError as error:
            with self._lock:
                self._index.keep(record, len(content))
                self._unwritten.add(self._files.path_of(record))
            self._report(error)

    def remove(self, record: Record) -> None:
        """Removes a record. No fsync: if it reappears after a power failure, DEL is merely repeated.

        Raises:
            StoreError: its file could not be removed; neither disk nor memory changed.
        """
        with suppress(StoreError):  # it is reported; without a directory there is no file to remove
            self._require_whole()
        path = self._files.path_of(record)
        try:
            with self._lock:
                self._files.remove(path)
                self._index.drop(record)
                self._unwritten.discard(path)
        except OSError as error:
            raise StoreError(f"cannot remove {path}: {error}") from error

    def repair(self) -> None:
        """Writes again from memory the files that something else removed or changed. Sets `trouble` if it cannot."""
        self._files.fill_reserve()
        try:
            self._require_whole()
            if lost := self._lost():
                self._write_again(lost)
                message = "state directory %s: %d records were missing or changed, and were written again"
                _log.warning(message, self._files, len(lost), extra=Message.STATE_WRITTEN_AGAIN.field)
        except StoreError as error:
            self._report(error)
        else:
            self.trouble = ""

    def close(self) -> None:
        """As the end of the process does."""
        self._files.release()

    # --- writing

    def _require_room(self, record: Record, size: int) -> None:
        pod = record.pod
        with self._lock:
            if self._index.get(record) is None:
                require_room(pod, size, self._index.used_by(pod), self._index.used_in(pod.namespace))

    def _write_durably(self, record: Record, content: bytes, *, if_current: bool = False, urgent: bool = False) -> None:
        """Raises StoreError.

        Args:
            if_current: only if it is still the record of its interface.
            urgent: see `StateDirectory.write_beside`.
        """
        try:
            self._write(record, content, if_current=if_current, urgent=urgent)
            self._files.sync()
        except OSError as error:
            raise StoreError(f"cannot write {self._files.path_of(record)}: {error}") from error

    def _write(self, record: Record, content: bytes, *, if_current: bool, urgent: bool) -> None:
        path = self._files.path_of(record)
        unfinished = self._files.write_beside(path, content, urgent=urgent)
        try:
            with self._lock:
                if if_current and self._index.get(record) is not record:
                    return
                self._files.replace(path, unfinished)
                self._index.keep(record, len(content))
                self._unwritten.discard(path)
        finally:
            unfinished.unlink(missing_ok=True)

    def _write_again(self, records: Iterable[Record]) -> None:
        """Writes the files of these records, as many as possible. Raises StoreError."""
        failures: list[StoreError] = []
        for record in records:
            try:
                self._write_durably(record, recordfile.encode(record), if_current=True, urgent=True)
            except StoreError as error:  # noqa: PERF203 - one file must not keep the others from being written
                failures.append(error)
        if failures:
            raise failures[0]

    # --- what others do to the directory

    def _require_whole(self) -> None:
        """Claims the directory again if it is not ours any more, and fills it. Raises StoreError."""
        if self._is_whole():
            return
        with self._claiming:
            if self._is_whole():
                return  # another thread was faster
            try:
                self._start_again()
            except StoreError as error:
                self._report(error)
                raise

    def _is_whole(self) -> bool:
        return self._whole and self._files.is_claimed()

    def _start_again(self) -> None:
        self._whole = False
        self._files.claim()
        known = self.all()
        with self._lock:
            self._unwritten.update(map(self._files.path_of, known))
        self._learn_all()  # of a file system that was mounted there, or of a directory that was put back
        self._whole = True
        self._restore_others()
        self._write_again(known)
        message = "state directory %s was removed or replaced while the agent ran: its %d records were written again"
        _log.warning(message, self._files, len(known), extra=Message.STATE_WRITTEN_AGAIN.field)
        self.trouble = ""

    def _lost(self) -> list[Record]:
        """The records whose files are missing or changed."""
        return [record for record in self.all() if self._is_lost(record)]

    def _is_lost(self, record: Record) -> bool:
        path = self._files.path_of(record)
        with self._lock:
            if self._index.get(record) is not record:
                return False
            return path in self._unwritten or not self._files.has(path, self._index.size_of(record))

    def _report(self, error: StoreError) -> None:
        if str(error) != self.trouble:
            message = "%s: nothing is attached until the records can be written, which is tried again and again"
            _log.error(message, error, extra=Message.STATE_UNUSABLE.field)
        self.trouble = str(error)

    def _learn_all(self, expect: Callable[[float], None] = unwatched) -> None:
        """Reads the files; memory takes precedence."""
        for record, size in self._reading.records(expect):
            with self._lock:
                if self._index.get(record) is None:
                    self._index.keep(record, size)
