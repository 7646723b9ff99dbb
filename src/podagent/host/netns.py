"""Network namespaces: recognising one again, holding it open, looking at its links. Never changes anything in them.

The host's own namespace is refused here, once, for every caller.
"""

from __future__ import annotations

import ctypes
import os
import socket
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from typing import Generic, TypeVar

from podagent.errors import HostNetworkRefused, NetnsGone
from podagent.host.links import link_names, process_of
from podagent.model import NetnsRef

_CLONE_NEWNET = 0x40000000
_Seen = TypeVar("_Seen")
Enter = Callable[[int], None]
"""Moves the calling thread into the network namespace that a descriptor stands for. Raises OSError."""


def boot_id() -> str:
    """The kernel's random ID of this boot."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:  # noqa: PTH123
        return file.read().strip()


def identify(path: str) -> NetnsRef:
    """What makes the namespace at `path` recognisable later.

    Raises:
        NetnsGone: there is none.
    """
    try:
        inode = os.stat(path).st_ino  # noqa: PTH116 (hot path)
        return NetnsRef(path, inode, _start_time(process_of(path)))
    except (OSError, ValueError, IndexError) as error:
        raise NetnsGone(f"network namespace {path} is gone: {error}") from None


def host_inodes() -> frozenset[int]:
    """The host's network namespace: that of PID 1, and our own, since this is a host service.

    Both, because a container runtime may hide the namespaces of PID 1 from a root without all capabilities.
    """
    inodes = {os.stat("/proc/self/ns/net").st_ino}  # noqa: PTH116
    with suppress(PermissionError):
        inodes.add(os.stat("/proc/1/ns/net").st_ino)  # noqa: PTH116
    return frozenset(inodes)


_libc = ctypes.CDLL(None, use_errno=True)


def setns(fd: int) -> None:
    """See `Enter`."""
    # os.setns exists from Python 3.12 on; the C library's serves every version alike.
    if _libc.setns(fd, _CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


class HeldNetns:
    """A network namespace that is held open, so that it cannot vanish or be mistaken while a plugin is at work."""

    def __init__(self, ref: NetnsRef, fd: int, enter: Enter = setns) -> None:
        self.ref = ref
        self._fd = fd
        self._enter = enter

    def links(self) -> frozenset[str]:
        """The names of the links in it. Raises NetnsGone."""
        return self._visit(link_names)

    def ifindex(self, name: str) -> int:
        """The index of the link `name`, 0 if there is none. Raises NetnsGone."""
        # Asked only for what is there: for an unknown name the kernel would first look for a module of that name.
        return self._visit(lambda: socket.if_nametoindex(name) if name in link_names() else 0)

    def intact(self) -> bool:
        """Whether the path still leads here: its process was not replaced by another one meanwhile."""
        try:
            return identify(self.ref.path) == self.ref
        except NetnsGone:
            return False

    def _visit(self, look: Callable[[], _Seen]) -> _Seen:
        visitor = _Visitor(self._fd, self._enter, look)
        visitor.start()
        visitor.join()
        if not visitor.seen:
            raise NetnsGone(f"cannot look into the network namespace: {visitor.error}") from visitor.error
        return visitor.seen[0]


class NetworkNamespaces:
    """Opens network namespaces by reference."""

    def __init__(self, host: Collection[int] | None = None, enter: Enter = setns) -> None:
        """
        Args:
            host: the inodes of the host's own namespace; None: see `host_inodes`.
            enter: how one is entered to look at its links.
        """
        self._host = host_inodes() if host is None else host
        self._enter = enter

    @contextmanager
    def hold(self, ref: NetnsRef) -> Iterator[HeldNetns]:
        """The namespace that was recorded, held open.

        Raises:
            NetnsGone: it is gone, or the path names another one now.
            HostNetworkRefused: it is the host's.
        """
        try:
            fd = os.open(ref.path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise NetnsGone(f"network namespace {ref.path} is gone: {error}") from None
        try:
            held = HeldNetns(ref, fd, self._enter)
            inode = os.fstat(fd).st_ino
            # Asked first: a recycled PID mostly is that of a host process, and then what was recorded is merely gone.
            if inode != ref.inode or not held.intact():
                raise NetnsGone(f"{ref.path} is no longer the network namespace it was")
            if inode in self._host:
                raise HostNetworkRefused(f"{ref.path} is the host's own network namespace: nothing is attached to it")
            yield held
        finally:
            os.close(fd)


def _start_time(process: str) -> int:
    """When a process started, in clock ticks since boot (proc(5), field 22); 0 if no process is given."""
    if not process:
        return 0
    with open(f"/proc/{process}/stat", "rb") as file:  # noqa: PTH123
        after_name = file.read().rpartition(b")")[2].split()
    if after_name[0] in (b"Z", b"X"):
        raise ValueError("its process has ended")
    return int(after_name[19])


class _Visitor(threading.Thread, Generic[_Seen]):
    """A thread that enters the namespace, looks, and ends: setns(2) is per thread, and no worker may be left inside."""

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
