"""Logs to a file, else to standard error, in the format of Kaloom's kactus. Never fails the call.

``_CNI_LOGGING_LEVEL`` is a number, as in Kaloom's, or a word: 1 error, 2 info, 3 debug. Without it, kactus logs errors
if a log file is set, else nothing.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress

from podagent.foreign import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_VERBOSITY = {"error": 1, "warning": 1, "info": 2, "debug": 3}
_LONGEST_MESSAGE = 8192
_STDERR = 2


class _Log:
    def __init__(self) -> None:
        self.file = ""
        self.prefix = ""
        self.verbosity = 0


_state = _Log()


def setup(environ: Mapping[str, str]) -> None:
    """Reads ``_CNI_LOGGING_FILE``, ``_CNI_LOGGING_LEVEL`` and ``_CNI_LOGGING_PREFIX``."""
    level = environ.get("_CNI_LOGGING_LEVEL", "").strip().lower()
    _state.file = environ.get("_CNI_LOGGING_FILE", "")
    _state.prefix = printable(environ.get("_CNI_LOGGING_PREFIX", ""))
    _state.verbosity = _verbosity(level) if level else _VERBOSITY["error"] if _state.file else 0


def log(level: str, message: str) -> None:
    """Writes one line if `level` is enabled; escapes unprintable characters."""
    if _VERBOSITY[level] > _state.verbosity:
        return
    now = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    prefix = f"{_state.prefix} " if _state.prefix else ""
    line = f"{now} [{level}] {prefix}kactus[{os.getpid()}]: {printable(message, _LONGEST_MESSAGE)}\n".encode()
    with suppress(OSError):
        if not _state.file:
            os.write(_STDERR, line)
        elif _state.file.startswith("/"):
            _append(_state.file, line)


def _verbosity(level: str) -> int:
    if level.isascii() and level.isdigit():
        return min(int(level[:9]), _VERBOSITY["debug"])
    return _VERBOSITY.get(level, _VERBOSITY["error"])


def _append(path: str, line: bytes) -> None:
    # A pipe without a reader must not block the call.
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
    try:
        os.write(fd, line)
    finally:
        os.close(fd)
