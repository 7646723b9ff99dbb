"""Where log records go: systemd's journal with structured fields, or stderr as one line each.

The rest of the agent logs to the logger tree "podagent" and hands facts over as upper-case attributes, for example
``log.info("...", extra={"POD": name, "NETWORK": network})``; they become journal fields. What is logged may quote what
strangers wrote (annotations, plugin output), so that nothing here trusts the text: control characters are escaped,
lengths are bounded, and no record can make logging raise.
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
# Journal fields (systemd.journal-fields(7)); a leading underscore is the journal's own.
_FIELD_NAME = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_PLAIN_VALUE = re.compile(r"[\w./:@%+,=-]+", re.ASCII)
# Libraries that narrate every request; what they say below a warning is of no use to operators.
_CHATTY = ("urllib3", "docker", "kubernetes", "requests")

Send = Callable[..., object]
"""``systemd.journal.send``: the message, then fields as keyword arguments."""


def setup(level: str, environ: Mapping[str, str] = os.environ) -> None:
    """Send all log records of the process to the journal or to stderr. May be called again to change the level.

    Args:
        level: error, warning, info or debug: the least severe records of the agent that are logged. Libraries are
            heard from warning on.
        environ: tells whether stderr is connected to the journal (systemd.exec(5), JOURNAL_STREAM).
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
    """Whether `descriptor` is the very stream that JOURNAL_STREAM names (``device:inode``), not a redirection."""
    try:
        status = os.fstat(descriptor)
    except OSError:
        return False
    return environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


class _Handler(logging.Handler, ABC):
    """Common to all of ours; never raises and never prints about its own failures: there is nowhere to say it."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self.deliver(record)
        except Exception:  # a full disk, a closed stderr, an object whose str() fails: the agent goes on
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name is logging's
        """Let the record go."""

    @abstractmethod
    def deliver(self, record: logging.LogRecord) -> None:
        """Writes the record; may raise whatever it likes."""


class StderrHandler(_Handler):
    """One line per record.

    Args:
        stream: written to in one call per record, so that lines of several threads never mix.
        priorities: begin lines with ``<N>`` (sd-daemon(3)) for a journal to read, instead of the level's name.
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
    """Structured records through the journal's own protocol.

    Args:
        send: ``systemd.journal.send``.
        fallback: gets what `send` refuses.
    """

    def __init__(self, send: Send, fallback: logging.Handler) -> None:
        super().__init__()
        self._send = send
        self._fallback = fallback

    def deliver(self, record: logging.LogRecord) -> None:
        try:
            self._deliver_fields(record)
        except Exception:  # a full socket, a field that cannot be sent: a line without fields is better than none
            self._fallback.handle(record)

    def _deliver_fields(self, record: logging.LogRecord) -> None:
        lines = [printable(_message(record))]
        if record.exc_info:  # the journal keeps lines apart; a traceback in one line is hard to read
            lines += [printable(line) for line in _traceback(record)[:_TRACEBACK_LIMIT].splitlines()]
        about: dict[str, object] = {
            "PRIORITY": str(_priority(record.levelno)),
            "SYSLOG_IDENTIFIER": "podagent",
            "LOGGER": record.name,
            "THREAD_NAME": str(record.threadName),
            "CODE_FILE": record.pathname,
            "CODE_LINE": record.lineno,  # the one field that systemd.journal wants as a number
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
    """The journal's own protocol, where the distribution's python3-systemd is installed for this interpreter."""
    try:
        from systemd import journal  # noqa: PLC0415 - optional

        send: Send = journal.send
    except (ImportError, AttributeError):  # PyPI also has an unrelated package of that name
        return None
    return send


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # arguments that do not fit the text: better half a message than none
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
