"""The service manager's end of the notification socket."""

from __future__ import annotations

import contextlib
import select
import socket
from pathlib import Path


class Manager:
    """Attributes: `environ`, for the service."""

    def __init__(self, address: str | Path) -> None:
        self.environ = {"NOTIFY_SOCKET": str(address)}
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + str(address)[1:] if str(address).startswith("@") else str(address))
        self._socket.setblocking(False)
        self._received: list[str] = []

    def received(self) -> list[str]:
        """The messages that have come since the last call."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self._received.append(self._socket.recv(65536).decode())
        messages, self._received = self._received, []
        return messages

    def wait_for(self, start: str) -> str:
        """The last message that begins so, waiting for one."""
        while True:
            for message in reversed(self._received):
                if message.startswith(start):
                    return message
            assert select.select([self._socket], [], [], 20)[0], f"no {start} came, but {self._received}"
            self._received.append(self._socket.recv(65536).decode())

    def close(self) -> None:
        self._socket.close()
