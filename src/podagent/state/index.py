"""The records in memory, and what they take up. Not thread-safe; knows no files."""

from __future__ import annotations

from typing import NamedTuple

from podagent.decide.room import Used
from podagent.model import Phase, PodKey, Record


class _Kept(NamedTuple):
    record: Record
    size: int


class Index:
    """At most one record for each interface of a pod.

    Attributes:
        detaching: the number of records of attachments that are to be detached.
    """

    def __init__(self) -> None:
        self.detaching = 0
        self._of: dict[PodKey, dict[str, _Kept]] = {}
        self._used: dict[str, Used] = {}

    def of(self, pod: PodKey) -> list[Record]:
        return [kept.record for kept in self._of.get(pod, {}).values()]

    def pods(self) -> list[PodKey]:
        return list(self._of)

    def counts(self) -> dict[PodKey, int]:
        """The number of records of each pod that has any."""
        return {pod: len(of_pod) for pod, of_pod in self._of.items()}

    def all(self) -> list[Record]:
        return [kept.record for of_pod in self._of.values() for kept in of_pod.values()]

    def get(self, like: Record) -> Record | None:
        """The record of the same interface."""
        kept = self._of.get(like.pod, {}).get(like.attachment.ifname)
        return kept and kept.record

    def size_of(self, record: Record) -> int:
        """The bytes of the file of a record that is kept."""
        return self._of[record.pod][record.attachment.ifname].size

    def used_by(self, pod: PodKey) -> Used:
        of_pod = self._of.get(pod, {})
        return Used(len(of_pod), sum(kept.size for kept in of_pod.values()))

    def used_in(self, namespace: str) -> Used:
        return self._used.get(namespace, Used())

    def keep(self, record: Record, size: int) -> None:
        """`size`: the bytes of its file."""
        self.drop(record)
        self._of.setdefault(record.pod, {})[record.attachment.ifname] = _Kept(record, size)
        self.detaching += record.phase is Phase.DETACHING
        self._count(record.pod.namespace, 1, size)

    def drop(self, record: Record) -> None:
        """Drops the record of the same interface, if there is one."""
        of_pod = self._of.get(record.pod, {})
        kept = of_pod.pop(record.attachment.ifname, None)
        if kept is None:
            return
        if not of_pod:
            del self._of[record.pod]
        self.detaching -= kept.record.phase is Phase.DETACHING
        self._count(record.pod.namespace, -1, -kept.size)

    def _count(self, namespace: str, records: int, size: int) -> None:
        used = self.used_in(namespace)
        self._used[namespace] = Used(used.records + records, used.size + size)
        if not self._used[namespace].records:
            del self._used[namespace]
