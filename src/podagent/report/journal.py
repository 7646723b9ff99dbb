"""Logging to systemd's journal with structured fields, or to stderr with one line per record.

The agent logs to the logger tree "podagent" and passes facts as upper-case attributes, for example
``log.info("...", extra={"POD": name, "NETWORK": network})``, which become journal fields. Messages may quote untrusted
text (annotations, plugin output). Therefore control characters are escaped, lengths are limited, and no record makes
logging raise.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TextIO

from podagent.foreign import printable

_TRACEBACK_LIMIT = 16384
_FIELD_LIMIT = 1024
# systemd.journal-fields(7); names with a leading underscore are reserved for the journal.
_FIELD_NAME = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_PLAIN_VALUE = re.compile(r"[\w./:@%+,=-]+", re.ASCII)
# Libraries that log every request; records below WARNING are of no use to operators.
_CHATTY = ("urllib3", "docker", "kubernetes", "requests")

Send = Callable[..., object]
"""``systemd.journal.send``: the message, with fields as keyword arguments."""


def setup(level: str, environ: Mapping[str, str] = os.environ) -> None:
    """Sends all log records of the process to the journal or to stderr. Call it again to change the level.

    Args:
        level: error, warning, info or debug: the lowest level that is logged. Libraries log from warning on.
        environ: the process environment; JOURNAL_STREAM identifies the journal's stream (systemd.exec(5)).
    """
    root = logging.getLogger()
    for old in root.handlers[:]:
        if isinstance(old, _Handler):
            root.removeHandler(old)
    root.addHandler(_choose_handler(level, environ))
    root.setLevel(logging.WARNING)
    logging.getLogger("podagent").setLevel(level.upper())
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)


def stderr_is_journal(environ: Mapping[str, str], descriptor: int = 2) -> bool:
    """Whether `descriptor` is the stream identified by JOURNAL_STREAM (``device:inode``), not a redirection."""
    try:
        status = os.fstat(descriptor)
    except OSError:
        return False
    return environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


class _Handler(logging.Handler, ABC):
    """Base class that never raises, and drops records it cannot deliver: there is no place to report that."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self.deliver(record)
        except Exception:  # a full disk, a closed stderr, an object whose str() fails: the agent must go on
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name is logging's
        """Drops the record."""

    @abstractmethod
    def deliver(self, record: logging.LogRecord) -> None:
        """Writes the record; may raise anything."""


class StderrHandler(_Handler):
    """Writes one line per record.

    Args:
        stream: gets one write per record, so that lines of different threads do not mix.
        priorities: prefix lines with ``<N>`` (sd-daemon(3)) for the journal, instead of the level's name.
        fields: append the record's fields as ``KEY=value``.
    """

    def __init__(self, stream: TextIO, *, priorities: bool, fields: bool) -> None:
        super().__init__()
        self._stream = stream
        self._priorities = priorities
        self._fields = fields

    def deliver(self, record: logging.LogRecord) -> None:
        prefix = f"<{_priority(record.levelno)}>" if self._priorities else f"{record.levelname} "
        parts = [printable(_message(record))]
        if record.exc_info:
            parts.append(printable(_traceback(record), _TRACEBACK_LIMIT))
        if self._fields:
            parts += [f"{name}={_quoted(value)}" for name, value in _fields(record).items() if name != "MESSAGE_ID"]
        self._stream.write(prefix + " ".join(parts) + "\n")
        self._stream.flush()


class JournalHandler(_Handler):
    """Sends structured records with the journal's native protocol.

    Args:
        send: ``systemd.journal.send``.
        fallback: handles records that `send` rejects.
    """

    def __init__(self, send: Send, fallback: logging.Handler) -> None:
        super().__init__()
        self._send = send
        self._fallback = fallback

    def deliver(self, record: logging.LogRecord) -> None:
        try:
            self._deliver_fields(record)
        except Exception:  # a full socket, an invalid field: a line without fields is better than none
            self._fallback.handle(record)

    def _deliver_fields(self, record: logging.LogRecord) -> None:
        lines = [printable(_message(record))]
        if record.exc_info:  # the journal keeps line breaks; a traceback on one line is hard to read
            lines += [printable(line) for line in _traceback(record)[:_TRACEBACK_LIMIT].splitlines()]
        about: dict[str, object] = {
            "PRIORITY": str(_priority(record.levelno)),
            "SYSLOG_IDENTIFIER": "podagent",
            "LOGGER": record.name,
            "THREAD_NAME": str(record.threadName),
            "CODE_FILE": record.pathname,
            "CODE_LINE": record.lineno,  # the only field that systemd.journal expects as a number
            "CODE_FUNC": record.funcName or "",
        }
        self._send("\n".join(lines), **{**_fields(record), **about})


def _choose_handler(level: str, environ: Mapping[str, str]) -> logging.Handler:
    journal = stderr_is_journal(environ)
    send = _journal_send() if journal else None
    if send is not None:
        return JournalHandler(send, StderrHandler(sys.stderr, priorities=True, fields=True))
    return StderrHandler(sys.stderr, priorities=journal, fields=level == "debug")


def _journal_send() -> Send | None:
    """The native protocol, if the distribution's python3-systemd is installed for this interpreter."""
    try:
        from systemd import journal  # noqa: PLC0415 - optional

        send: Send = journal.send
    except (ImportError, AttributeError):  # PyPI also has an unrelated package of that name
        return None
    return send


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # arguments that do not match the format
        return f"{record.msg} {record.args!r}"


def _traceback(record: logging.LogRecord) -> str:
    return "".join(traceback.format_exception(*record.exc_info)).rstrip() if record.exc_info else ""


def _fields(record: logging.LogRecord) -> dict[str, str]:
    given = vars(record).items()
    return {
        name: printable(str(value), _FIELD_LIMIT)
        for name, value in given
        if value is not None and name != "MESSAGE" and _FIELD_NAME.fullmatch(name)
    }


def _quoted(value: str) -> str:
    return value if _PLAIN_VALUE.fullmatch(value) else '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _priority(levelno: int) -> int:
    """The syslog priority (sd-daemon(3)) of a logging level."""
    for least, priority in ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6)):
        if levelno >= least:
            return priority
    return 7
