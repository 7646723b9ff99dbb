"""The saved delegates: one file per container, in Kaloom's format, protected by a lock per container.

The file is a JSON list of delegate configurations, each with ``networkName`` or ``masterPlugin``, so that a node can
switch between Kaloom's kactus and ours while pods are running. Keys of our own start with ``kactus``; ``prevResult`` is
the delegate's result. The file is removed with its last delegate. An ADD rewrites it, so its size has a limit.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress

from podagent.cni.delegatefile import read_delegates
from podagent.foreign import Json
from podagent.kactus.config import is_master
from podagent.kactus.failure import IO_FAILURE, Failure
from podagent.kactus.lock import PATIENCE_S, ContainerLock
from podagent.kactus.log import log
from podagent.validate import is_cni_name

TYPE_CHECKING = False  # as mypy defines it; importing typing takes longer than reading the file
if TYPE_CHECKING:
    from types import TracebackType

OWN_PREFIX = "kactus"
IFNAME = "kactusIfName"
DEFINITION = "kactusDefinition"
NAMESPACE = "kactusNamespace"
MAC = "kactusMac"
UID = "kactusPodUID"
"""The pod's, as the runtime gave it at the pod's start. The agent, which may call Kaloom's kactus, never does."""
FAILURES = "kactusFailures"
"""The number of DELs that have failed."""
_LOCKS = ".locks"
LARGEST_WRITTEN = 4 << 20
"""The most bytes of a file that is added to: 8 KiB for each of the 512 networks that a pod can have."""
# Versions up to 0.4 wrote larger files, whose delegates must be detached all the same.
_LARGEST_READ = 256 << 20


def identity(delegate: Json) -> str:
    """The key of a delegate within its container: the network name, "" for the default interface."""
    name = delegate.get("networkName")
    return "" if is_master(delegate) or not isinstance(name, str) else name


def pod_uid(delegate: Json) -> str:
    """The UID of the pod that a delegate is for, "" if it is not known."""
    uid = delegate.get(UID)
    return uid if isinstance(uid, str) and is_cni_name(uid) else ""


def containers(cni_dir: str) -> list[str]:
    """The containers that have a file. Raises Failure."""
    try:
        with os.scandir(cni_dir) as entries:
            files = [each.name for each in entries if each.is_file(follow_symlinks=False)]
            return sorted(filter(is_cni_name, files))
    except FileNotFoundError:
        return []
    except OSError as fault:
        raise Failure(IO_FAILURE, f"cannot list {cni_dir}: {fault.strerror}") from None


def read_all(cni_dir: str) -> Iterator[tuple[str, Json]]:
    """Container and saved delegate. Takes no lock: files are replaced at once. Raises Failure."""
    for container in containers(cni_dir):
        path = f"{cni_dir}/{container}"
        try:
            saved = read_delegates(path, _LARGEST_READ)
        except (FileNotFoundError, ValueError):
            continue  # removed meanwhile, or to be set aside by its own call
        except OSError as fault:
            raise _unusable(path, fault) from None
        for delegate in saved:
            yield container, delegate


class SavedDelegates:
    """The delegates of one container; a context manager that holds the container's lock.

    Entry and all methods raise Failure: code 5 if the file is unusable, 11 if another call holds the container for too
    long.
    """

    def __init__(self, cni_dir: str, container_id: str, patience_s: float = PATIENCE_S) -> None:
        """
        Args:
            cni_dir: directory of the files.
            container_id: safe as a file name.
            patience_s: how long to wait for another call, in seconds.
        """
        self._path = f"{cni_dir}/{container_id}"
        # In the directory of the locks, where it is never listed as a container. Container IDs never start with a dot.
        self._temporary = f"{cni_dir}/{_LOCKS}/.{container_id}.new"
        self._aside = f"{cni_dir}/.{container_id}.unreadable"
        self._lock = ContainerLock(f"{cni_dir}/{_LOCKS}", container_id, patience_s)
        self.delegates: list[Json] = []

    def __enter__(self) -> SavedDelegates:
        try:
            os.makedirs(os.path.dirname(self._path), mode=0o700, exist_ok=True)  # noqa: PTH103, PTH120
            if self._lock.acquire():
                with suppress(FileNotFoundError):
                    os.unlink(self._temporary)  # noqa: PTH108
            self.delegates = self._read()
        except OSError as fault:
            self._lock.release()
            raise _unusable(self._path, fault) from None
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, at: TracebackType | None) -> None:
        self._lock.release()

    def find(self, name: str) -> Json | None:
        """The delegate with this `identity`, None if there is none."""
        return next((each for each in self.delegates if identity(each) == name), None)

    def put(self, *delegates: Json) -> None:
        """Saves delegates in a single write; each replaces the one with its identity.

        Fails, and saves none, if the file would become larger than `LARGEST_WRITTEN`.
        """
        if not delegates:
            return
        new = {identity(each): each for each in delegates}
        kept = [new.pop(identity(each), each) for each in self.delegates]
        self._write([*kept, *new.values()], LARGEST_WRITTEN)

    def drop(self, *delegates: Json, changed: Sequence[Json] = ()) -> None:
        """Removes delegates, and saves those that have `changed` as `put` does, in a single write of any size."""
        names, new = {identity(each) for each in delegates}, {identity(each): each for each in changed}
        kept = [new.pop(identity(each), each) for each in self.delegates if identity(each) not in names]
        self._write([*kept, *new.values()])

    def _read(self) -> list[Json]:
        try:
            return read_delegates(self._path, _LARGEST_READ)
        except FileNotFoundError:
            return []
        except ValueError:
            os.replace(self._path, self._aside)  # noqa: PTH105
            log("error", f"{self._path} is not a list of delegates; it was set aside as {self._aside}")
            return []

    def _write(self, delegates: list[Json], largest: int | None = None) -> None:
        content = json.dumps(delegates).encode()
        if largest is not None and len(content) > largest:
            what = f"{self._path} would have more than {largest >> 20} MiB"
            raise Failure(IO_FAILURE, f"{what}: give the pod fewer networks, or shorten their definitions")
        try:
            if delegates:
                self._replace(content)
            else:
                with suppress(FileNotFoundError):
                    os.unlink(self._path)  # noqa: PTH108
        except OSError as fault:
            raise Failure(IO_FAILURE, f"cannot write {self._path}: {fault.strerror}") from None
        self.delegates = delegates

    def _replace(self, content: bytes) -> None:
        fd = os.open(self._temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            try:
                rest = memoryview(content)
                while rest:  # a nearly full disk may accept only a part
                    rest = rest[os.write(fd, rest) :]
                os.fsync(fd)
            finally:
                os.close(fd)
            os.replace(self._temporary, self._path)  # noqa: PTH105
        except OSError:
            os.unlink(self._temporary)  # noqa: PTH108
            raise


def _unusable(path: str, fault: OSError) -> Failure:
    return Failure(IO_FAILURE, f"cannot use {fault.filename or path}: {fault.strerror}")
