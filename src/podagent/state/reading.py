"""Reads the record files of a state directory, and reports what is none."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from podagent.errors import StoreError, UnknownSchema
from podagent.foreign import printable
from podagent.messages import Message
from podagent.model import DefinitionRef, Record
from podagent.netconf import NetConf
from podagent.state import recordfile
from podagent.state.directory import StateDirectory

_log = logging.getLogger(__name__)

_NAME = re.compile(r"[0-9a-f]{40}\.json")
_FILE_S = 180.0  # on an overloaded node


def unwatched(_: float) -> None:
    """No watchdog waits for the files."""


class Reading:
    """Reports each odd file once, however often the directory is read. One caller at a time."""

    def __init__(self, files: StateDirectory) -> None:
        self._files = files
        self._skipped: set[Path] = set()

    def records(self, expect: Callable[[float], None] = unwatched) -> Iterator[tuple[Record, int]]:
        """All records, with the bytes of their files. Damaged files are set aside, others are left alone.

        Equal configurations of one definition are one object, which saves memory.

        Args:
            expect: called before each file with the time limit for it in seconds.

        Raises:
            UnknownSchema: a newer version wrote one of them; the text has the remedy.
            StoreError: the directory cannot be read.
        """
        shared: dict[DefinitionRef | None, NetConf] = {}
        try:
            for path in self._files.entries():
                expect(_FILE_S)
                if found := self._read(path):
                    record, size = found
                    call = record.invocation
                    known = shared.setdefault(call.definition, call.netconf)
                    same = known if known == call.netconf else call.netconf
                    yield record._replace(invocation=call._replace(netconf=same)), size
        except OSError as error:
            raise StoreError(f"state directory {self._files} cannot be read: {error}") from error

    def _read(self, path: Path) -> tuple[Record, int] | None:
        try:
            if not _NAME.fullmatch(path.name):
                raise StoreError("its name is not that of a record")
            content = self._files.read(path)
            record = self._decoded(path, content)
        except UnknownSchema:
            raise
        except (StoreError, OSError) as fault:
            self._skip(path, fault)
            return None
        return record and (record, len(content))

    def _decoded(self, path: Path, content: bytes) -> Record | None:
        """The record in a file; None if it is damaged: then it is set aside. Raises UnknownSchema, OSError."""
        try:
            record = recordfile.decode(content)
            if self._files.path_of(record) != path:
                raise StoreError("its name does not match its content: it was copied or renamed")
        except UnknownSchema as error:
            raise UnknownSchema(
                f"{path} was written by a newer podagent ({error}): install that version again, or move the file out"
                " of the directory, which loses the record of its interface"
            ) from None
        except StoreError as fault:
            kept = self._files.set_aside(path)
            message = "record %s is unusable and was set aside as %s: %s"
            _log.error(message, path.name, kept, fault, extra=Message.RECORD_SET_ASIDE.field)
            return None
        return record

    def _skip(self, path: Path, fault: Exception) -> None:
        if path not in self._skipped:
            self._skipped.add(path)
            message = "%s is not used as a record, and is left as it is: %s"
            _log.warning(message, printable(str(path)), fault, extra=Message.RECORD_SKIPPED.field)
