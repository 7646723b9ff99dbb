"""Reads the records of Kaloom's podagent until all of them have been taken over.

It kept one file per pod and network in ``/var/run/podagent/configstore``. Wanted interfaces would be adopted without
these files, but only the files identify attachments that were to be detached, or were in flight, when it last stopped.
A settled file moves to the sibling directory ``configstore.taken-over``, so that a downgrade remains possible. Files of
pods that are gone stay in place: the kubelet had kactus detach their networks.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from podagent.decide.dialects.kaloom_names import attachment
from podagent.errors import StoreError
from podagent.foreign import Json, json_object, optional, required, shown
from podagent.model import Attachment, PodKey
from podagent.validate import is_dns1123_label, is_dns1123_subdomain, is_mac

_log = logging.getLogger(__name__)

_LARGEST = 64 * 1024
# States of its records. Nil: not attached. Dirty: an ADD or DEL had started.
_ACTIVE, _DIRTY, _NIL = "Active", "Dirty", "Nil"


@dataclass(frozen=True, slots=True)
class Inherited:
    """One network that it attached, or started to attach or detach.

    Attributes:
        file: its record.
        namespace, pod: namespace and name of the pod.
        attachment: the requested attachment, as far as recorded.
        sandbox_id: the sandbox of the attachment.
        complete: ADD had succeeded, and no DEL had started.
    """

    file: Path
    namespace: str
    pod: str
    attachment: Attachment
    sandbox_id: str
    complete: bool


class KaloomPredecessor:
    """The records of Kaloom's podagent. One worker at a time uses those of a pod."""

    def __init__(self, directory: Path) -> None:
        """Reads all records. An unusable file is logged and stays in place.

        Raises:
            StoreError: they cannot be read now.
        """
        self._directory = directory
        self._left: dict[tuple[str, str], list[Inherited]] = {}
        try:
            self._read_all()
        except OSError as error:
            raise StoreError(f"the former podagent's records in {directory} cannot be read now: {error}") from None

    def _read_all(self) -> None:
        for file in _files(self._directory):
            try:
                found = _read(file)
            except StoreError as error:
                _log.error("record %s of the former podagent cannot be taken over: %s", file, error)
                continue
            if found:
                self._left.setdefault((found.namespace, found.pod), []).append(found)

    def is_empty(self) -> bool:
        """Whether the node has nothing to take over."""
        return not self._left

    def of(self, pod: PodKey) -> list[Inherited]:
        """Its attachments for the pod of this name, which may include those of an earlier pod."""
        return list(self._left.get((pod.namespace, pod.name), ()))

    def settled(self, pod: PodKey) -> None:
        """Moves the files of a pod aside after its takeover."""
        for each in self._left.pop((pod.namespace, pod.name), ()):
            aside = self._directory.with_name(f"{self._directory.name}.taken-over")
            try:
                aside.mkdir(mode=0o700, exist_ok=True)
                each.file.rename(aside / each.file.name)
            except OSError as error:  # the next start reads it again and finds it settled
                _log.warning("record %s of the former podagent stays where it is: %s", each.file, error)


def _files(directory: Path) -> list[Path]:
    """Raises OSError."""
    try:
        return sorted(path for path in directory.iterdir() if path.suffix == ".json" and not path.is_symlink())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _read(file: Path) -> Inherited | None:
    """The inherited attachment, None if there was none. Raises StoreError, OSError."""
    try:
        if file.stat().st_size > _LARGEST:
            raise StoreError("it is too large")
        running = required(json_object(file.read_bytes()), "Running", dict)
        state = required(running, "State", str)
        if state == _NIL:
            return None
        if state not in (_ACTIVE, _DIRTY):
            raise StoreError(f"unknown state {shown(state)}")
        return _inherited(file, required(running, "Data", dict), complete=state == _ACTIVE)
    except (FileNotFoundError, IsADirectoryError, ValueError) as error:
        raise StoreError(str(error)) from None


def _inherited(file: Path, data: Json, *, complete: bool) -> Inherited:
    namespace, pod = required(data, "Namespace", str), required(data, "PodName", str)
    network, mac = required(data, "NetworkName", str), optional(data, "IfMAC", str) or None
    valid = (
        is_dns1123_label(namespace)
        and is_dns1123_subdomain(pod)
        and is_dns1123_subdomain(network)
        and (mac is None or is_mac(mac))
    )
    if not valid:
        raise StoreError("a name or the MAC address in it is not valid")
    wanted = attachment(network, mac=mac and mac.lower())
    return Inherited(file, namespace, pod, wanted, required(data, "SandboxID", str), complete)
