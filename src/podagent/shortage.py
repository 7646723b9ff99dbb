"""Names the way out when the host or the service has run out of something. Starts threads, which fails then."""

from __future__ import annotations

import errno
import threading
from collections.abc import Mapping

from podagent.errors import OutOfThreads

_PROCESSES = (
    "too many processes and threads: raise TasksMax or LimitNPROC of the service, or kernel.pid_max of the host"
)
_REMEDIES: Mapping[int, str] = {
    errno.EAGAIN: _PROCESSES,
    errno.EMFILE: "raise LimitNOFILE of the service",
    errno.ENFILE: "the host has too many open files: raise fs.file-max",
    errno.ENOMEM: "the host is out of memory, or the service exceeds its MemoryMax",
}


def remedy(number: int | None) -> str:
    """The way out of a shortage with this error number, "" if it is none."""
    return _REMEDIES.get(number or 0, "")


def start(thread: threading.Thread) -> None:
    """Starts a thread. Raises OutOfThreads."""
    try:
        thread.start()
    except RuntimeError as error:
        raise OutOfThreads(f"thread {thread.name!r} cannot be started: {error}; {_PROCESSES}") from None
