"""What Kaloom's podagent attached on this node, by its own records, until it has all been taken over.

It kept one file for each pod and network in ``/var/run/podagent/configstore``. Interfaces that are wanted would be
adopted without them; but only they tell of what was to be detached, or was half done, when it was last stopped. A file
that was taken over is moved to the folder beside, ``configstore.taken-over``: a way back stays open. Files of pods that
are gone stay as they are: the kubelet had kactus detach their networks.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from podagent.errors import StoreError
from podagent.model import PodKey
from podagent.validate import is_dns1123_label, is_dns1123_subdomain, is_mac

_log = logging.getLogger(__name__)

_LARGEST = 64 * 1024
# States of its records. Nil: nothing attached. Dirty: an ADD or DEL had begun.
_ACTIVE, _DIRTY, _NIL = "Active", "Dirty", "Nil"


@dataclass(frozen=True, slots=True)
class Inherited:
    """One network that it had attached, or had begun to attach or detach.

    Attributes:
        complete: its ADD had succeeded, and no DEL begun.
        mac: the MAC address that was asked for, in lower case; None if none was.
    """

    file: Path
    namespace: str
    pod: str
    network: str
    sandbox_id: str
    complete: bool
    mac: str | None = None


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
        running = json.loads(file.read_bytes())["Running"]
        state = running["State"]
        if state == _NIL:
            return None
        if state not in (_ACTIVE, _DIRTY):
            raise StoreError(f"state {str(state)[:80]!r} is not known")
        return _inherited(file, running["Data"], complete=state == _ACTIVE)
    except (OSError, ValueError, RecursionError) as error:
        raise StoreError(str(error)) from None
    except (KeyError, TypeError, AttributeError) as error:
        raise StoreError(f"it is not one: {error!r}") from None


def _inherited(file: Path, data: dict[str, Any], *, complete: bool) -> Inherited:
    mac = data.get("IfMAC") or None
    found = Inherited(
        file, data["Namespace"], data["PodName"], data["NetworkName"], data["SandboxID"], complete,
        None if mac is None else mac.lower(),
    )  # fmt: skip
    valid = (
        is_dns1123_label(found.namespace)
        and is_dns1123_subdomain(found.pod)
        and is_dns1123_subdomain(found.network)
        and isinstance(found.sandbox_id, str)
        and (found.mac is None or is_mac(found.mac))
    )
    if not valid:
        raise StoreError("a name or the MAC address in it is not valid")
    return found
