"""What Kaloom's podagent attached on this node, by its own records, until it has all been taken over.

It kept one file for each pod and network in ``/var/run/podagent/configstore``. Interfaces that are wanted would be
adopted without them; but only they tell of what was to be detached, or was half done, when it was last stopped. A file
that was taken over is moved to the folder beside, ``configstore.taken-over``: a way back stays open. Files of pods that
are gone stay as they are: the kubelet had kactus detach their networks.
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
# States of its records. Nil: nothing attached. Dirty: an ADD or DEL had begun.
_ACTIVE, _DIRTY, _NIL = "Active", "Dirty", "Nil"


@dataclass(frozen=True, slots=True)
class Inherited:
    """One network that it had attached, or had begun to attach or detach.

    Attributes:
        file: its record.
        namespace, pod: of the pod.
        attachment: as it was asked for, so far as the record tells.
        sandbox_id: the sandbox that it was attached in.
        complete: its ADD had succeeded, and no DEL begun.
    """

    file: Path
    namespace: str
    pod: str
    attachment: Attachment
    sandbox_id: str
    complete: bool


class KaloomPredecessor:
    """Its records. Each pod's are used by one worker at a time."""

    def __init__(self, directory: Path) -> None:
        """Reads them, once. A file that cannot be used is told in the log, and left where it is."""
        self._directory = directory
        self._left: dict[tuple[str, str], list[Inherited]] = {}
        for file in _files(directory):
            try:
                found = _read(file)
            except StoreError as error:
                _log.error("record %s of the former podagent cannot be taken over: %s", file, error)
                continue
            if found:
                self._left.setdefault((found.namespace, found.pod), []).append(found)

    def left_nothing(self) -> bool:
        """Whether there is nothing to take over on this node."""
        return not self._left

    def of(self, pod: PodKey) -> list[Inherited]:
        """What it attached to the pod of this name, also to an earlier one."""
        return list(self._left.get((pod.namespace, pod.name), ()))

    def settled(self, pod: PodKey) -> None:
        """What it attached to this pod has been taken over. Its files are moved aside."""
        for each in self._left.pop((pod.namespace, pod.name), ()):
            aside = self._directory.with_name(f"{self._directory.name}.taken-over")
            try:
                aside.mkdir(mode=0o700, exist_ok=True)
                each.file.rename(aside / each.file.name)
            except OSError as error:  # it is read again at the next start, and found to be settled
                _log.warning("record %s of the former podagent stays where it is: %s", each.file, error)


def _files(directory: Path) -> list[Path]:
    try:
        return sorted(path for path in directory.iterdir() if path.suffix == ".json" and not path.is_symlink())
    except OSError:
        return []


def _read(file: Path) -> Inherited | None:
    """None: nothing was attached. Raises StoreError."""
    try:
        if file.stat().st_size > _LARGEST:
            raise StoreError("it is too large")
        running = required(json_object(file.read_bytes()), "Running", dict)
        state = required(running, "State", str)
        if state == _NIL:
            return None
        if state not in (_ACTIVE, _DIRTY):
            raise StoreError(f"state {shown(state)} is not known")
        return _inherited(file, required(running, "Data", dict), complete=state == _ACTIVE)
    except (OSError, ValueError) as error:
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
