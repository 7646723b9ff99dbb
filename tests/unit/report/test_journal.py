"""Logging: one line per record on stderr, fields in the journal, and nothing that makes it raise."""

from __future__ import annotations

import io
import logging
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

from podagent.report import journal
from podagent.report.journal import JournalHandler, StderrHandler, stderr_is_journal


class Unprintable:
    def __str__(self) -> str:
        raise RuntimeError("no")

    __repr__ = __str__


class Journal:
    """Stands where systemd.journal would, and is as particular about types as that. One that is full refuses."""

    def __init__(self, *, full: bool = False) -> None:
        self.entries: list[dict[str, str]] = []
        self._full = full

    def send(self, message: str, *, CODE_LINE: int, **fields: str) -> None:  # noqa: N803 - the journal's name
        if self._full:
            raise OSError("no journal")
        assert CODE_LINE > 0
        assert all(isinstance(value, str) for value in fields.values())
        self.entries.append({"MESSAGE": message, **fields})


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


def logger_to(handler: logging.Handler) -> logging.Logger:
    logger = logging.Logger("podagent.test", logging.DEBUG)
    logger.addHandler(handler)
    return logger


def to_stderr(stream: io.StringIO, *, priorities: bool = False, fields: bool = False) -> logging.Logger:
    return logger_to(StderrHandler(stream, priorities=priorities, fields=fields))


def to_journal(receiver: Journal, stream: io.StringIO) -> logging.Logger:
    return logger_to(JournalHandler(receiver.send, StderrHandler(stream, priorities=True, fields=True)))


def journal_stream(descriptor: int) -> dict[str, str]:
    status = os.fstat(descriptor)
    return {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}


def test_a_line_begins_with_its_level_or_for_the_journal_with_its_priority(stream: io.StringIO) -> None:
    to_stderr(stream).warning("plugin %s is slow", "bridge")
    for level in (logging.CRITICAL, logging.ERROR, logging.WARNING, logging.INFO, logging.DEBUG):
        to_stderr(stream, priorities=True).log(level, "x")
    assert stream.getvalue() == "WARNING plugin bridge is slow\n<2>x\n<3>x\n<4>x\n<6>x\n<7>x\n"


def test_fields_are_appended_when_asked_for(stream: io.StringIO) -> None:
    extra = {
        "POD": "web-0",
        "RESULT": 'say "no"\n',
        "DURATION_MS": 12,
        "MESSAGE_ID": "abc",
        "NETWORK": None,
        "lower": 1,
    }
    to_stderr(stream).info("without", extra=extra)
    to_stderr(stream, fields=True).info("with", extra=extra)
    assert stream.getvalue() == 'INFO without\nINFO with POD=web-0 RESULT="say \\"no\\"\\\\n" DURATION_MS=12\n'


def test_a_hostile_text_cannot_forge_a_second_line_or_move_the_cursor_and_an_endless_one_is_cut(
    stream: io.StringIO,
) -> None:
    to_stderr(stream, priorities=True).info("network %s", "a\n<0>forged\r\x1b[2J\u2028\u202e\x9b\0")
    assert stream.getvalue() == "<6>network a\\n<0>forged\\r\\x1b[2J\\u2028\\u202e\\x9b\\x00\n"
    to_stderr(stream).info("x" * 1_000_000)
    assert len(stream.getvalue()) < 5000
    assert stream.getvalue().endswith("more characters)\n")


def test_the_journal_gets_message_priority_and_fields_which_cannot_overwrite_each_other(stream: io.StringIO) -> None:
    receiver = Journal()
    fields = {"POD": "web-0", "DURATION_MS": 12, "MESSAGE_ID": "0" * 32, "POD_NAMESPACE": None}
    forged = {"PRIORITY": "0", "MESSAGE": "forged", "_PID": "1"}
    to_journal(receiver, stream).info("attached %s", "green\nx", extra=fields | forged)
    [entry] = receiver.entries
    assert {name: value for name, value in entry.items() if not name.startswith(("CODE_", "THREAD"))} == {
        "MESSAGE": "attached green\\nx",
        "PRIORITY": "6",
        "POD": "web-0",
        "DURATION_MS": "12",
        "MESSAGE_ID": "0" * 32,
        "SYSLOG_IDENTIFIER": "podagent",
        "LOGGER": "podagent.test",
    }


def test_an_exception_stays_in_one_line_of_stderr_and_is_readable_in_the_journal(stream: io.StringIO) -> None:
    receiver = Journal()
    try:
        raise ValueError("first\nsecond")
    except ValueError:
        to_stderr(stream).exception("it failed")
        to_journal(receiver, stream).exception("it failed")
    assert stream.getvalue().count("\n") == 1
    assert "ValueError: first\\nsecond" in stream.getvalue()
    lines = receiver.entries[0]["MESSAGE"].splitlines()
    assert (lines[0], lines[-2:]) == ("it failed", ["ValueError: first", "second"])


def test_logging_never_raises_and_a_record_that_the_journal_refuses_goes_to_stderr(stream: io.StringIO) -> None:
    closed = io.StringIO()
    closed.close()
    to_stderr(closed).error("x")
    to_journal(Journal(full=True), closed).error("x")
    to_stderr(stream).error("%s", Unprintable())
    to_stderr(stream, fields=True).error("x", extra={"POD": Unprintable()})
    assert stream.getvalue() == ""
    to_stderr(stream).error("%s and %s", "one")
    to_journal(Journal(full=True), stream).error("it failed", extra={"POD": "web-0"})
    assert stream.getvalue() == "ERROR %s and %s ('one',)\n<3>it failed POD=web-0\n"


def test_stderr_is_the_journal_only_if_it_is_the_very_stream(tmp_path: Path) -> None:
    with (tmp_path / "stream").open("w") as file:
        same = journal_stream(file.fileno())
        assert stderr_is_journal(same, file.fileno())
        for other in ({"JOURNAL_STREAM": "1:1"}, {"JOURNAL_STREAM": "rubbish"}, {}):
            assert not stderr_is_journal(other, file.fileno())
    assert not stderr_is_journal(same, 987654)


@pytest.mark.usefixtures("restored_logging")
def test_setup_lets_through_the_agents_level_and_the_warnings_of_libraries(
    monkeypatch: pytest.MonkeyPatch, stream: io.StringIO
) -> None:
    monkeypatch.setattr(sys, "stderr", stream)
    journal.setup("error", {})
    journal.setup("info", {})  # may be called again to change the level
    logging.getLogger("podagent.x").debug("ours, debug")
    logging.getLogger("podagent.x").info("ours, info")
    logging.getLogger("urllib3.connectionpool").info("theirs, info")
    logging.getLogger("kubernetes").warning("theirs, warning")
    journal.setup("debug", {})
    logging.getLogger("podagent.x").debug("with fields", extra={"POD": "web-0"})
    assert stream.getvalue() == "INFO ours, info\nWARNING theirs, warning\nDEBUG with fields POD=web-0\n"


@pytest.mark.usefixtures("restored_logging")
@pytest.mark.parametrize("installed", [True, False])
def test_setup_takes_the_journals_own_protocol_where_it_is_installed_else_priorities(
    monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, installed: bool
) -> None:
    receiver = Journal()
    systemd = ModuleType("systemd")
    vars(systemd).update({"journal": receiver} if installed else {})
    monkeypatch.setitem(sys.modules, "systemd", systemd)
    monkeypatch.setattr(sys, "stderr", stream)
    journal.setup("info", journal_stream(2))
    logging.getLogger("podagent.x").info("attached", extra={"POD": "web-0"})
    assert [entry["POD"] for entry in receiver.entries] == ["web-0"] * installed
    assert stream.getvalue() == ("" if installed else "<6>attached\n")
