"""The saved delegates: one file per container, in Kaloom's format, protected by a lock per container.

The file is a JSON list of delegate configurations, each with ``networkName`` or ``masterPlugin``, so that a node can
switch between Kaloom's kactus and ours while pods are running. Keys of our own start with ``kactus``; ``prevResult`` is
the delegate's result. The file is removed with its last delegate.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress

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
ADDING = "kactusAdding"
IFNAME = "kactusIfName"
DEFINITION = "kactusDefinition"
NAMESPACE = "kactusNamespace"
MAC = "kactusMac"
_LOCKS = ".locks"
_LARGEST_FILE = 256 << 20


def identity(delegate: Json) -> str:
    """The key of a delegate within its container: the network name, "" for the default interface."""
    name = delegate.get("networkName")
    return "" if is_master(delegate) or not isinstance(name, str) else name


def containers(cni_dir: str) -> list[str]:
    """The containers that have a file. Raises Failure."""
    try:
        with os.scandir(cni_dir) as entries:
            return sorted(each.name for each in entries if is_cni_name(each.name) and each.is_file())
    except FileNotFoundError:
        return []
    except OSError as fault:
        raise Failure(IO_FAILURE, f"cannot list {cni_dir}: {fault.strerror}") from None


def read_all(cni_dir: str) -> Iterator[tuple[str, Json]]:
    """Container and saved delegate, as far as they are readable. Takes no lock: files are replaced at once."""
    for container in containers(cni_dir):
        try:
            saved = json.loads(_content(f"{cni_dir}/{container}"))
        except (OSError, ValueError, RecursionError):
            continue  # removed meanwhile, or to be set aside by its own call
        for delegate in filter(_is_delegate, saved if isinstance(saved, list) else ()):
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
            raise Failure(IO_FAILURE, f"cannot use {fault.filename or self._path}: {fault.strerror}") from None
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, at: TracebackType | None) -> None:
        self._lock.release()

    def find(self, name: str) -> Json | None:
        """The delegate with this `identity`, None if there is none."""
        return next((each for each in self.delegates if identity(each) == name), None)

    def put(self, delegate: Json) -> None:
        """Saves a delegate; replaces the one with the same identity."""
        name = identity(delegate)
        if self.find(name) is None:
            self._write([*self.delegates, delegate])
        else:
            self._write([delegate if identity(each) == name else each for each in self.delegates])

    def drop(self, *delegates: Json) -> None:
        """Removes delegates in a single write."""
        names = {identity(each) for each in delegates}
        self._write([each for each in self.delegates if identity(each) not in names])

    def _read(self) -> list[Json]:
        try:
            content = _content(self._path)
        except FileNotFoundError:
            return []
        try:
            saved = json.loads(content)
        except (ValueError, RecursionError):
            saved = None
        if not isinstance(saved, list) or not all(map(_is_delegate, saved)):
            os.replace(self._path, self._aside)  # noqa: PTH105
            log("error", f"{self._path} is not a list of delegates; it was set aside as {self._aside}")
            return []
        return saved

    def _write(self, delegates: list[Json]) -> None:
        try:
            if delegates:
                self._replace(json.dumps(delegates).encode())
            else:
                with suppress(FileNotFoundError):
                    os.unlink(self._path)  # noqa: PTH108
        except OSError as fault:
            raise Failure(IO_FAILURE, f"cannot write {self._path}: {fault.strerror}") from None
        self.delegates = delegates

    def _replace(self, content: bytes) -> None:
        fd = os.open(self._temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            rest = memoryview(content)
            while rest:  # a nearly full disk may accept only a part
                rest = rest[os.write(fd, rest) :]
            os.fsync(fd)
        except OSError:
            os.unlink(self._temporary)  # noqa: PTH108
            raise
        finally:
            os.close(fd)
        os.replace(self._temporary, self._path)  # noqa: PTH105


def _is_delegate(value: object) -> bool:
    return isinstance(value, dict) and isinstance(value.get("type"), str) and value["type"] != ""


def _content(path: str) -> bytes:
    # Follows no symbolic link, and does not block on a pipe without a writer.
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    with open(fd, "rb") as file:  # noqa: PTH123
        return file.read(_LARGEST_FILE)
