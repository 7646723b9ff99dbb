"""What systemd hears of the agent (sd_notify(3)): READY, STATUS, WATCHDOG, STOPPING."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping

import sdnotify


class Notifier:
    """Messages to the service manager; does nothing when NOTIFY_SOCKET is not set.

    Args:
        environ: the process environment; an address in it that nobody listens at is ignored too.
    """

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._manager: sdnotify.SystemdNotifier | None = None
        self._status = ""
        address = environ.get("NOTIFY_SOCKET", "")
        if address:
            self._manager = _manager_at(address)

    def ready(self) -> None:
        """Start-up, or a reload, is complete."""
        self._notify("READY=1")

    def status(self, text: str) -> None:
        """One line for ``systemctl status``; sent only when it differs from the last one."""
        line = " ".join(text.split())
        if line != self._status:
            self._status = line
            self._notify(f"STATUS={line}")

    def reloading(self) -> None:
        """A reload begins; `ready` ends it. The time stamp is what ``Type=notify-reload`` asks for."""
        self._notify(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        """The agent is about to end on purpose."""
        self._notify("STOPPING=1")

    def watchdog(self) -> None:
        """The agent is alive."""
        self._notify("WATCHDOG=1")

    def _notify(self, state: str) -> None:
        if self._manager is not None:
            # sdnotify encodes as Latin-1, systemd expects UTF-8: spell the UTF-8 bytes as Latin-1 characters.
            self._manager.notify(state.encode("utf-8", "replace").decode("latin-1"))


def _manager_at(address: str) -> sdnotify.SystemdNotifier:
    """The package's notifier, connected to `address`: by itself it only knows os.environ."""
    manager = sdnotify.SystemdNotifier()
    if manager.socket is not None:
        manager.socket.close()
    manager.socket = _connected(address)
    return manager


def _connected(address: str) -> socket.socket | None:
    """A datagram socket to `address`, None when nobody listens; a leading '@' is the abstract name space."""
    sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        sender.connect("\0" + address[1:] if address.startswith("@") else address)
    except OSError:
        sender.close()
        return None
    return sender
