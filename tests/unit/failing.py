"""System calls of the product that fail once, in this process."""

from __future__ import annotations

import builtins
import fcntl
import os
import sys
from collections.abc import Callable
from typing import Any

import pytest

_CALLS = [
    *(
        (os, name)
        for name in ("open", "close", "read", "write", "pwrite", "fsync", "stat", "fstat", "unlink", "replace")
    ),
    *((os, name) for name in ("makedirs", "scandir", "listdir", "memfd_create")),
    (fcntl, "flock"),
    (builtins, "open"),
]
_readlink = os.readlink


class FailingCalls:
    """Counts the calls of podagent's modules on files below some paths, and lets one of them fail.

    Attributes:
        made: the calls since `fail`, as ``name path``.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *below: str) -> None:
        self._below = below
        self._number = self._errno = -1
        self.made: list[str] = []
        for module, name in _CALLS:
            monkeypatch.setattr(module, name, self._failing(name, getattr(module, name)))

    def fail(self, number: int, errno: int) -> None:
        """The call of this number, from 0, fails once."""
        self._number, self._errno, self.made = number, errno, []

    def forget(self) -> None:
        """No call fails from now on."""
        self.fail(-1, 0)

    @property
    def failed(self) -> str:
        """The call that has failed, "" if none has."""
        return self.made[self._number] if 0 <= self._number < len(self.made) else ""

    def _failing(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def made(*args: Any, **options: Any) -> Any:
            path = _path_of(args[0])
            if not sys._getframe(1).f_globals.get("__name__", "").startswith("podagent.") or not self._watches(path):
                return call(*args, **options)
            self.made.append(f"{name} {path}")
            if len(self.made) - 1 != self._number:
                return call(*args, **options)
            if name == "close":  # the kernel closes it all the same
                call(*args)
            raise OSError(self._errno, os.strerror(self._errno), path)

        return made

    def _watches(self, path: str) -> bool:
        return any(path.startswith(each) for each in self._below)


def _path_of(file: object) -> str:
    try:
        return _readlink(f"/proc/self/fd/{file}") if isinstance(file, int) else str(file)
    except FileNotFoundError:
        return ""
