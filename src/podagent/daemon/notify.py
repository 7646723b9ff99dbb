"""Notifications to systemd (sd_notify(3)): READY, STATUS, WATCHDOG, STOPPING."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping

import sdnotify


class Notifier:
    """Notifies the service manager; does nothing without NOTIFY_SOCKET.

    Args:
        environ: the process environment; an address without a listener is ignored too.
    """

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._manager: sdnotify.SystemdNotifier | None = None
        self._status = ""
        address = environ.get("NOTIFY_SOCKET", "")
        if address:
            self._manager = _manager_at(address)

    def ready(self) -> None:
        """Startup, or a reload, is complete."""
        self._notify("READY=1")

    def status(self, text: str) -> None:
        """One line for ``systemctl status``; sent only if it changed."""
        line = " ".join(text.split())
        if line != self._status:
            self._status = line
            self._notify(f"STATUS={line}")

    def reloading(self) -> None:
        """A reload starts; `ready` ends it. ``Type=notify-reload`` requires the time stamp."""
        self._notify(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self, within_s: float) -> None:
        """The agent is shutting down, which may take `within_s` seconds, whatever the unit's TimeoutStopSec."""
        self._notify(f"STOPPING=1\nEXTEND_TIMEOUT_USEC={within_s * 1e6:.0f}")

    def watchdog(self) -> None:
        """A watchdog ping."""
        self._notify("WATCHDOG=1")

    def _notify(self, state: str) -> None:
        if self._manager is not None:
            # sdnotify encodes as Latin-1, but systemd expects UTF-8: pass the UTF-8 bytes as Latin-1 characters.
            self._manager.notify(state.encode("utf-8", "replace").decode("latin-1"))


def _manager_at(address: str) -> sdnotify.SystemdNotifier:
    """A notifier of the sdnotify package for `address`; its constructor only reads os.environ."""
    manager = sdnotify.SystemdNotifier()
    if manager.socket is not None:
        manager.socket.close()
    manager.socket = _connected(address)
    return manager


def _connected(address: str) -> socket.socket | None:
    """A datagram socket connected to `address`, None without a listener; a leading '@' is the abstract namespace."""
    sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        sender.connect("\0" + address[1:] if address.startswith("@") else address)
    except OSError:
        sender.close()
        return None
    return sender
