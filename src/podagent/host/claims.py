"""Which namespace made a bridge of the host: claims, one small file each, shared by agent and kactus.

The bridge is created here rather than by the plugin, because the kernel then tells who was first. A claim names the
index of the link, and is void without that link. The directory is on a tmpfs: claims and links end with the boot.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from podagent.errors import StoreError
from podagent.foreign import Json, json_object
from podagent.host.links import ifindex
from podagent.validate import is_interface_name

DIRECTORY = "/run/podagent/links"
_LARGEST_FILE = 4096
_SIOCBRADDBR, _SIOCBRDELBR = 0x89A0, 0x89A1


def create_bridge(name: str) -> None:
    """Creates a bridge. Raises OSError; FileExistsError if there is a link of that name."""
    _request(_SIOCBRADDBR, name)


def delete_bridge(name: str) -> None:
    """Deletes a bridge that is down. Raises OSError."""
    _request(_SIOCBRDELBR, name)


def _request(number: int, name: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, number, name.encode() + b"\0")


def _usable(name: str) -> bool:
    return is_interface_name(name) and name.isprintable()


def _read(path: str) -> Json:
    """The claim in a file; {} if it is damaged. Raises OSError."""
    with open(path, "rb") as file:  # noqa: PTH123
        try:
            return json_object(file.read(_LARGEST_FILE))
        except ValueError:
            return {}


class LinkClaims:
    """Safe for threads and processes. All methods raise StoreError if the claims are unusable."""

    def __init__(
        self,
        directory: str = DIRECTORY,
        ifindex: Callable[[str], int] = ifindex,
        create_bridge: Callable[[str], None] = create_bridge,
        delete_bridge: Callable[[str], None] = delete_bridge,
    ) -> None:
        """
        Args:
            directory: for the files; created if necessary.
            ifindex: the index of a link of the host, 0 if there is none.
            create_bridge: creates a bridge; raises FileExistsError.
            delete_bridge: deletes a bridge that was just created.
        """
        self._directory = directory
        self._ifindex = ifindex
        self._create_bridge = create_bridge
        self._delete_bridge = delete_bridge

    def owns(self, namespace: str, link: str) -> bool:
        """Whether `namespace` made the link that goes by this name now."""
        with self._locked():
            return _usable(link) and self._claim(link).get("namespace") == namespace

    def make_bridge(self, namespace: str, bridge: str) -> bool:
        """Creates a bridge for `namespace`. Returns False if there is a link of that name, whoever made it."""
        if not _usable(bridge):
            return False
        with self._locked():
            self._remove_void()
            try:
                self._create_bridge(bridge)
            except FileExistsError:
                return False
            try:
                self._write(bridge, namespace)
            except OSError:
                self._delete_bridge(bridge)  # without a claim, the namespace could not use it
                raise
            return True

    def grant(self, namespace: str, link: str) -> None:
        """Records `namespace` as the maker of an existing link, unless another one is on record."""
        with self._locked():
            if not self._claim(link):
                self._write(link, namespace)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        fd = -1
        try:
            os.makedirs(self._directory, mode=0o700, exist_ok=True)  # noqa: PTH103 - not pathlib, for kactus
            fd = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        except OSError as fault:
            raise StoreError(f"cannot use {self._directory}, the makers of bridges: {fault}") from None
        finally:
            if fd >= 0:
                os.close(fd)

    def _path(self, link: str) -> str:
        return f"{self._directory}/{hashlib.sha256(link.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}.json"

    def _claim(self, link: str) -> Json:
        """The claim on the link that exists now; {} if there is none."""
        try:
            claim = _read(self._path(link))
        except FileNotFoundError:
            return {}
        return claim if self._is_valid(claim) else {}

    def _is_valid(self, claim: Json) -> bool:
        link, index = claim.get("link"), claim.get("ifindex")
        return isinstance(link, str) and bool(index) and index == self._ifindex(link)

    def _remove_void(self) -> None:
        with os.scandir(self._directory) as files:
            for file in files:
                if not self._is_valid(_read(file.path)):
                    os.unlink(file.path)  # noqa: PTH108

    def _write(self, link: str, namespace: str) -> None:
        path = self._path(link)
        with open(f"{path}.new", "w", encoding="utf-8") as file:  # noqa: PTH123
            json.dump({"link": link, "namespace": namespace, "ifindex": self._ifindex(link)}, file)
        os.replace(f"{path}.new", path)  # noqa: PTH105
