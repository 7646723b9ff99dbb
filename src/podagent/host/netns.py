"""Network namespaces: identifies them, keeps them open, reads their links, and removes those that a plugin has left.

Rejects the host's own namespace, on behalf of every caller.
"""

from __future__ import annotations

import ctypes
import errno
import os
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from typing import Generic, TypeVar

from podagent import shortage
from podagent.errors import HostNetworkRefused, NetnsGone, NetnsUnavailable, OutOfThreads, PodagentError
from podagent.host import linkcalls
from podagent.host.links import GONE, process_of
from podagent.host.pins import Pin, Pins
from podagent.model import Link, NetnsRef

_REMEDIES = {
    errno.EACCES: "SELinux or AppArmor denies it, or the service lacks CAP_SYS_PTRACE: see ausearch -m avc",
    errno.EPERM: "the service lacks CAP_SYS_ADMIN, or a security module denies it: see ausearch -m avc",
}
_CLONE_NEWNET = 0x40000000
_Seen = TypeVar("_Seen")
Enter = Callable[[int], None]
"""Moves the calling thread into the network namespace of a descriptor. Raises OSError."""


def boot_id() -> str:
    """The kernel's random ID of this boot."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:  # noqa: PTH123
        return file.read().strip()


def identify(path: str) -> NetnsRef:
    """A reference that identifies the namespace at `path` later.

    Raises:
        NetnsGone: it does not exist.
        NetnsUnavailable: it cannot be told now.
    """
    try:
        inode = os.stat(path).st_ino  # noqa: PTH116 (hot path)
        return NetnsRef(path, inode, _start_time(process_of(path)))
    except OSError as error:
        raise unusable(path, error) from None
    except (ValueError, IndexError) as error:
        raise NetnsGone(f"network namespace {path} is gone: {error}") from None


def unusable(path: str, error: OSError) -> PodagentError:
    """The meaning of a failed system call on the namespace at `path`: NetnsGone or NetnsUnavailable."""
    if error.errno in GONE:
        return NetnsGone(f"network namespace {path} is gone: {error}")
    name = errno.errorcode.get(error.errno or 0, "?")
    way_out = _REMEDIES.get(error.errno or 0) or shortage.remedy(error.errno)
    hint = f"; {way_out}" if way_out else ""
    return NetnsUnavailable(f"network namespace {path} cannot be used now: {error.strerror} ({name}){hint}")


def host_inodes() -> frozenset[int]:
    """Inodes of the host's network namespace: that of PID 1 and our own, since this is a host service.

    Both, because a container runtime may hide the namespaces of PID 1 from a root user without all capabilities.
    """
    inodes = {os.stat("/proc/self/ns/net").st_ino}  # noqa: PTH116
    with suppress(PermissionError):
        inodes.add(os.stat("/proc/1/ns/net").st_ino)  # noqa: PTH116
    return frozenset(inodes)


_libc = ctypes.CDLL(None, use_errno=True)


def setns(fd: int) -> None:
    """See `Enter`."""
    # os.setns requires Python 3.12; the C library works with every version.
    if _libc.setns(fd, _CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


class HeldNetns:
    """An open network namespace, which cannot vanish or be replaced while a plugin is running.

    Attributes:
        ref: the namespace, at the path of its sandbox.
        path: that path, or the one of its pin.
    """

    def __init__(self, ref: NetnsRef, fd: int, enter: Enter = setns, path: str = "") -> None:
        self.ref = ref
        self.path = path or ref.path
        self._fd = fd
        self._enter = enter

    def links(self) -> dict[str, Link]:
        """Its links by name. Raises NetnsUnavailable."""
        return self._visit(linkcalls.links)

    def addresses(self, name: str) -> frozenset[str]:
        """The IP addresses of a link, without prefix lengths. Raises NetnsUnavailable."""
        return self._visit(lambda: linkcalls.addresses(name))

    def rename(self, old: str, new: str) -> None:
        """Sets a link down and renames it. Raises NetnsUnavailable."""
        self._visit(lambda: linkcalls.rename(old, new))

    def remove(self, index: int) -> None:
        """Removes the link with this index, if there is one. Raises NetnsUnavailable."""
        self._visit(lambda: linkcalls.remove(index))

    def inode(self) -> int:
        """Its inode number. Raises NetnsUnavailable."""
        try:
            return os.fstat(self._fd).st_ino
        except OSError as error:
            raise self._unavailable(error) from None

    def intact(self) -> bool:
        """Whether `path` still refers to this namespace. Raises NetnsUnavailable."""
        return self.path != self.ref.path or self.runs()

    def runs(self) -> bool:
        """Whether the sandbox's path still refers to it, of the same process. Raises NetnsUnavailable."""
        return _is_at_its_path(self.ref)

    def _visit(self, look: Callable[[], _Seen]) -> _Seen:
        visitor = _Visitor(self._fd, self._enter, look)
        try:
            shortage.start(visitor)
        except OutOfThreads as fault:
            raise NetnsUnavailable(f"network namespace {self.ref.path} cannot be entered now: {fault}") from None
        visitor.join()
        if not visitor.seen:
            raise self._unavailable(visitor.error or OSError(errno.EIO, os.strerror(errno.EIO))) from visitor.error
        return visitor.seen[0]

    def _unavailable(self, error: OSError) -> NetnsUnavailable:
        # It is held open, so it is there, whatever the error is.
        return NetnsUnavailable(str(unusable(self.ref.path, error)))


class NetworkNamespaces:
    """Opens network namespaces by reference, and pins them."""

    def __init__(self, pins: Pins, host: Collection[int] | None = None, enter: Enter = setns) -> None:
        """
        Args:
            pins: those of this node.
            host: inodes of the host's own namespace; None for `host_inodes`.
            enter: enters a namespace to read its links.
        """
        self._pins = pins
        self._host = host_inodes() if host is None else host
        self._enter = enter

    @contextmanager
    def enter(self, ref: NetnsRef, sandbox_id: str) -> Iterator[HeldNetns]:
        """Opens the namespace of a running sandbox, and pins it.

        Raises:
            NetnsGone: the sandbox has ended, or the path now refers to another one.
            NetnsUnavailable: it cannot be told now.
            HostNetworkRefused: it is the host's.
        """
        with self._open(ref, ref.path) as fd:
            try:
                path = self._pins.pin(Pin(sandbox_id, ref.inode), fd)
            except OSError as error:
                raise NetnsUnavailable(str(unusable(ref.path, error))) from None
            yield HeldNetns(ref, fd, self._enter, path)

    @contextmanager
    def reenter(self, ref: NetnsRef, sandbox_id: str) -> Iterator[HeldNetns]:
        """Opens the recorded namespace by its pin, or while the sandbox runs. Raises as `enter`."""
        try:
            path = self._pins.path(Pin(sandbox_id, ref.inode)) or ref.path
        except OSError as error:
            raise NetnsUnavailable(str(unusable(ref.path, error))) from None
        with self._open(ref, path) as fd:
            yield HeldNetns(ref, fd, self._enter, path)

    def runs(self, ref: NetnsRef) -> bool:
        """Whether the sandbox of a namespace runs. Raises NetnsUnavailable."""
        return _is_at_its_path(ref)

    def unpin(self, ref: NetnsRef, sandbox_id: str) -> None:
        """Lets a namespace go. Raises NetnsUnavailable."""
        try:
            self._pins.unpin(Pin(sandbox_id, ref.inode))
        except OSError as error:
            raise NetnsUnavailable(f"network namespace {ref.path} stays pinned: {error}") from None

    @contextmanager
    def _open(self, ref: NetnsRef, path: str) -> Iterator[int]:
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise unusable(path, error) from None
        try:
            held = HeldNetns(ref, fd, self._enter, path)
            inode = held.inode()
            # Checked first: a recycled PID is mostly that of a host process, and then the namespace is merely gone.
            if inode != ref.inode or not held.intact():
                raise NetnsGone(f"{path} is no longer the network namespace it was")
            if inode in self._host:
                raise HostNetworkRefused(f"{path} is the host's own network namespace: nothing is attached to it")
            yield fd
        finally:
            os.close(fd)


def _is_at_its_path(ref: NetnsRef) -> bool:
    try:
        return identify(ref.path) == ref
    except NetnsGone:
        return False


def _start_time(process: str) -> int:
    """Start time of a process in clock ticks since boot (proc(5), field 22); 0 without a process."""
    if not process:
        return 0
    with open(f"/proc/{process}/stat", "rb") as file:  # noqa: PTH123
        after_name = file.read().rpartition(b")")[2].split()
    if after_name[0] in (b"Z", b"X"):
        raise ValueError("its process has ended")
    return int(after_name[19])


class _Visitor(threading.Thread, Generic[_Seen]):
    """Enters the namespace in a short-lived thread: setns(2) is per thread, and no worker may stay inside."""

    def __init__(self, fd: int, enter: Enter, look: Callable[[], _Seen]) -> None:
        super().__init__(name="netns-visitor", daemon=True)
        self._fd = fd
        self._enter = enter
        self._look = look
        self.seen: list[_Seen] = []
        self.error: OSError | None = None

    def run(self) -> None:
        try:
            self._enter(self._fd)
            self.seen.append(self._look())
        except OSError as error:
            self.error = error
