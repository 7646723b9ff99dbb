"""Sees, to the microsecond, when an address appears on a link of a pod and when a link is gone (rtnetlink(7))."""

from __future__ import annotations

import ctypes
import select
import socket
import struct
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

_CLONE_NEWNET = 0x40000000
_RTMGRP_LINK, _RTMGRP_IPV4_IFADDR = 0x1, 0x10
_RTM_DELLINK, _RTM_NEWADDR = 17, 20
_IFLA_IFNAME = _IFA_LABEL = 3
_HEADER = struct.Struct("=IHHII")
_BODY_BYTES = {_RTM_DELLINK: 16, _RTM_NEWADDR: 8}

Change = tuple[str, str]
"""("address" or "gone", interface name)"""


class NamespaceMonitor:
    """The changes in one network namespace, from its making on."""

    def __init__(self, netns: str) -> None:
        # A socket stays in the namespace it was made in, so only a short-lived thread has to enter it.
        with ThreadPoolExecutor(1) as inside:
            self._socket = inside.submit(_open, netns).result()
        self.seen: dict[Change, float] = {}

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def read(self) -> None:
        """Notes what has happened, with the time of reading (`time.perf_counter`)."""
        data = self._socket.recv(65536)
        now = time.perf_counter()
        while len(data) >= _HEADER.size:
            length, kind, *_ = _HEADER.unpack_from(data)
            if kind in _BODY_BYTES:
                name = _attribute(data[_HEADER.size + _BODY_BYTES[kind] : length])
                self.seen["gone" if kind == _RTM_DELLINK else "address", name] = now
            data = data[(length + 3) & ~3 :]


def wait_for(monitors: Iterable[NamespaceMonitor], changes: Iterable[Change], timeout: float = 60.0) -> float:
    """Waits until every monitor has seen every change; returns when the last one was seen.

    Raises:
        TimeoutError: some were not seen in time.
    """
    wanted, open_ones = set(changes), list(monitors)
    deadline = time.perf_counter() + timeout
    last = 0.0
    while open_ones:
        readable, _, _ = select.select(open_ones, [], [], max(0.0, deadline - time.perf_counter()))
        if not readable:
            raise TimeoutError(f"{len(open_ones)} pods have not seen {sorted(wanted)}")
        for monitor in readable:
            monitor.read()
            if wanted <= monitor.seen.keys():
                last = max(last, *(monitor.seen[change] for change in wanted))
                open_ones.remove(monitor)
    return last


def _open(netns: str) -> socket.socket:
    with Path(netns).open() as file:
        if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"cannot enter {netns}")
    opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    opened.bind((0, _RTMGRP_LINK | _RTMGRP_IPV4_IFADDR))
    return opened


def _attribute(data: bytes) -> str:
    while len(data) >= 4:
        length, kind = struct.unpack_from("=HH", data)
        if kind == _IFLA_IFNAME:
            return data[4:length].rstrip(b"\0").decode()
        data = data[(length + 3) & ~3 :]
    return ""
