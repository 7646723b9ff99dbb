"""Keeps network namespaces alive beyond their pods: a bind mount for each sandbox, as CRI-O and containerd make them.

A plugin's DEL often works in the namespace, and a device of the host that is still in it when it dies is lost. The
mounts are on a tmpfs: they outlive the agent, and end with the boot.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import logging
import os
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from podagent.validate import is_cni_name

_log = logging.getLogger(__name__)

DIRECTORY = Path("/run/podagent/netns")
_LONGEST_ID = 128
_MS_BIND, _MNT_DETACH = 4096, 2
_libc = ctypes.CDLL(None, use_errno=True)


def pin_directory(state_directory: Path) -> Path:
    """The place of the pins of the agent with this state directory."""
    return DIRECTORY / hashlib.sha256(os.fsencode(state_directory.resolve())).hexdigest()[:16]


Mount = Callable[[str, str], None]
"""Binds the namespace at the first path to the file at the second. Raises OSError."""
Unmount = Callable[[str], None]
"""Undoes it, also while the namespace is in use. Raises OSError."""


def bind(source: str, target: str) -> None:
    """See `Mount`."""
    _require(_libc.mount(source.encode(), target.encode(), None, ctypes.c_ulong(_MS_BIND), None))


def unbind(target: str) -> None:
    """See `Unmount`."""
    _require(_libc.umount2(target.encode(), _MNT_DETACH))


def _require(answer: int) -> None:
    if answer != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


class Pin(NamedTuple):
    """Names a pin. A sandbox that is restarted keeps its ID, but has another namespace."""

    sandbox_id: str
    inode: int

    @property
    def file_name(self) -> str:
        # A sandbox ID comes from the runtime.
        usable = is_cni_name(self.sandbox_id) and len(self.sandbox_id) <= _LONGEST_ID
        sandbox = self.sandbox_id if usable else hashlib.sha256(self.sandbox_id.encode()).hexdigest()
        return f"{sandbox}-{self.inode}"


class Pins:
    """The pins of this node. One caller at a time for a sandbox. All methods raise OSError.

    Where no mount is possible, this process holds the namespace open instead, until it ends.
    """

    def __init__(self, directory: Path, mount: Mount = bind, unmount: Unmount = unbind) -> None:
        self._directory = directory
        self._mount = mount
        self._unmount = unmount
        self._nsfs = os.stat("/proc/self/ns/net").st_dev  # noqa: PTH116
        self._held: dict[Pin, int] = {}
        self._warned = False

    def path(self, pin: Pin) -> str:
        """The path of a pinned namespace, "" if it is not pinned."""
        place = self._directory / pin.file_name
        with suppress(FileNotFoundError, NotADirectoryError):
            there = place.stat()
            if (there.st_ino, there.st_dev) == (pin.inode, self._nsfs):
                return str(place)
        return f"/proc/{os.getpid()}/fd/{self._held[pin]}" if pin in self._held else ""

    def pin(self, pin: Pin, fd: int) -> str:
        """Pins an open namespace and returns its path."""
        if known := self.path(pin):
            return known
        place = self._directory / pin.file_name
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            place.touch(mode=0o600)
            self._mount(f"/proc/self/fd/{fd}", str(place))
        except OSError as error:
            with suppress(OSError):
                place.unlink()
            self._hold(pin, fd, error)
        return self.path(pin)

    def _hold(self, pin: Pin, fd: int, error: OSError) -> None:
        self._held[pin] = os.dup(fd)
        if not self._warned:
            self._warned = True
            message = "network namespaces cannot be mounted below %s: %s; they are held open until the agent ends"
            _log.warning(message, self._directory, error)

    def unpin(self, pin: Pin) -> None:
        """Lets a namespace go."""
        if pin in self._held:
            os.close(self._held.pop(pin))
        else:
            self._remove(self._directory / pin.file_name)

    def keep_only(self, pins: Collection[Pin]) -> None:
        """Removes all others. If that fails for one, it still removes the rest."""
        kept = {pin.file_name for pin in pins}
        others = [place for place in _places(self._directory) if place.name not in kept]
        faults = [fault for place in others if (fault := self._fault_of_removal(place))]
        if faults:
            raise faults[0]

    def _fault_of_removal(self, place: Path) -> OSError | None:
        try:
            self._remove(place)
        except OSError as fault:
            return fault
        return None

    def _remove(self, place: Path) -> None:
        try:
            self._unmount(str(place))
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOENT):  # not a mount; no such file
                raise
        place.unlink(missing_ok=True)


def _places(directory: Path) -> list[Path]:
    try:
        return list(directory.iterdir())
    except FileNotFoundError:
        return []
