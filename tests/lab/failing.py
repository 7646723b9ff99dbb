"""System calls of the product that fail on demand, in this process; `failingagent` does it in the agent's.

A *site* is a call with the functions of the product that lead to it, so that a run lists every site by itself. Only
what the product calls, itself or through a library, is counted; it imports nothing of the product but the modules that
call the C library.
"""

from __future__ import annotations

import builtins
import ctypes
import errno
import fcntl
import io
import os
import select
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

_PRODUCT = f"{Path(__file__).resolve().parents[2] / 'src' / 'podagent'}{os.sep}"
_DEPTH = 5
_OF_OS = (
    "open", "stat", "lstat", "fstat", "readlink", "listdir", "scandir", "mkdir", "unlink", "rename", "replace", "chmod",
    "fsync", "read", "write", "pipe", "pidfd_open", "waitid",
)  # fmt: skip
_OF_SOCKETS = ("connect", "send", "sendall", "recv", "recv_into")


class Visit(NamedTuple):
    """The `number`-th run through a site since the sites were last listed."""

    site: str
    number: int = 1


class Calls:
    """Which sites the product runs through, and what fails there.

    Attributes:
        seen: how often each site was run through.
        fired: what has failed.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._busy = threading.local()
        self.clear()

    def clear(self) -> None:
        """Nothing fails, and nothing was seen."""
        self.seen: Counter[str] = Counter()
        self.fired: Counter[str] = Counter()
        self._once: dict[Visit, int] = {}
        self._always: dict[str, int] = {}

    def fail(self, once: Mapping[Visit, int]) -> None:
        """These visits, of those from now on, fail with these errnos."""
        self.clear()
        self._once |= once

    def fail_always(self, sites: str, number: int) -> None:
        """Every site with these words fails with that errno, until `clear`."""
        self.clear()
        self._always[sites] = number

    @contextmanager
    def ignored(self) -> Iterator[None]:
        """What this thread calls meanwhile is not the product's."""
        before, self._busy.now = getattr(self._busy, "now", False), True
        try:
            yield
        finally:
            self._busy.now = before

    def check(self, call: str) -> None:
        """Called before each call. Raises OSError if it is to fail."""
        if getattr(self._busy, "now", False):
            return
        site = _site(call)
        if site:
            self.visit(site)

    def visit(self, site: str) -> None:
        with self._lock:
            self.seen[site] += 1
            number = self._once.pop(Visit(site, self.seen[site]), 0)
            number = number or next((each for words, each in self._always.items() if words in site), 0)
            self.fired[site] += bool(number)
        if number:
            raise OSError(number, os.strerror(number), site)

    def calling(self, call: str, real: Callable[..., Any]) -> Callable[..., Any]:
        """`real`, checked before; what it calls in turn is part of it."""

        def checked(*args: Any, **kwargs: Any) -> Any:
            self.check(call)
            with self.ignored():
                return real(*args, **kwargs)

        return checked

    @contextmanager
    def installed(self) -> Iterator[Calls]:
        """The product's calls go through here."""
        undo = self.install()
        try:
            yield self
        finally:
            undo()

    def install(self) -> Callable[[], None]:
        """Returns what takes it out again."""
        from podagent.host import netns, pins  # noqa: PLC0415 - in the agent, this module is loaded first

        places: list[tuple[Any, str, Any]] = [
            (os, name, self.calling(f"os.{name}", getattr(os, name))) for name in _OF_OS
        ]
        opened = self._opened(open)
        places += [(builtins, "open", opened), (io, "open", opened)]
        places += [(fcntl, name, self.calling(f"fcntl.{name}", getattr(fcntl, name))) for name in ("ioctl", "flock")]
        places += [(socket, "if_nametoindex", self.calling("if_nametoindex", socket.if_nametoindex))]
        places += [(socket, "socket", self._subclass(socket.socket, "socket", _OF_SOCKETS))]
        places += [(subprocess, "Popen", self._subclass(subprocess.Popen, "Popen", ()))]
        places += [(select, "poll", self._polling(select.poll))]
        places += [(module, "_libc", _Libc(self)) for module in (netns, pins)]
        places += [(threading.Thread, "start", self._starting(threading.Thread.start))]
        before = [(owner, name, getattr(owner, name)) for owner, name, _ in places]
        for owner, name, replacement in places:
            setattr(owner, name, replacement)

        def undo() -> None:
            for owner, name, real in before:
                setattr(owner, name, real)

        return undo

    def _opened(self, real: Callable[..., Any]) -> Callable[..., Any]:
        opening = self.calling("open", real)

        def opened(*args: Any, **kwargs: Any) -> Any:
            file = opening(*args, **kwargs)
            return file if getattr(self._busy, "now", False) or not _site("open") else _File(file, self)

        return opened

    def _subclass(self, base: Any, call: str, methods: tuple[str, ...]) -> Any:
        def begin(instance: Any, *args: Any, **kwargs: Any) -> None:
            self.check(call)
            with self.ignored():
                base.__init__(instance, *args, **kwargs)

        checked = {name: self.calling(f"{call}.{name}", getattr(base, name)) for name in methods}
        return type(base.__name__, (base,), {"__init__": begin, **checked})

    def _polling(self, real: Callable[[], Any]) -> Callable[[], Any]:
        return lambda: _Checked(real(), self, ("poll",))

    def _starting(self, real: Callable[[threading.Thread], None]) -> Callable[[threading.Thread], None]:
        def start(thread: threading.Thread) -> None:
            try:
                self.check("Thread.start")
            except OSError:
                raise RuntimeError("can't start new thread") from None
            real(thread)

        return start


class _Checked:
    """An object some of whose methods may fail."""

    def __init__(self, real: Any, calls: Calls, methods: tuple[str, ...]) -> None:
        self._real = real
        self._calls = calls
        self._methods = methods

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        return self._calls.calling(name, found) if name in self._methods else found


class _File(_Checked):
    def __init__(self, real: Any, calls: Calls) -> None:
        super().__init__(real, calls, ("read", "write", "flush"))

    def __enter__(self) -> _File:
        return self

    def __exit__(self, *_: object) -> None:
        self._real.close()


class _Libc:
    """The C library, as modules of the product load it."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._real = ctypes.CDLL(None, use_errno=True)

    def __getattr__(self, name: str) -> Callable[..., int]:
        def checked(*arguments: Any) -> int:
            try:
                self._calls.check(name)
            except OSError as error:
                ctypes.set_errno(error.errno or errno.EIO)
                return -1
            return int(getattr(self._real, name)(*arguments))

        return checked


def _site(call: str) -> str:
    """The functions of the product that lead here, the innermost first; "" if there is none."""
    path: list[str] = []
    frame: Any = sys._getframe(2)
    while frame and len(path) < _DEPTH:
        code = frame.f_code
        if code.co_filename.startswith("<frozen importlib"):
            return ""
        if code.co_filename.startswith(_PRODUCT):
            path.append(f"{code.co_filename[len(_PRODUCT) :]}:{frame.f_lineno} {code.co_name}")
        frame = frame.f_back
    return " < ".join([call, *path]) if path else ""
