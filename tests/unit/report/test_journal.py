"""Logging: one line per record on stderr, fields in the journal, and nothing that makes it raise."""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from podagent.foreign import printable
from podagent.report import journal
from podagent.report.journal import JournalHandler, StderrHandler, stderr_is_journal


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


def logger_to(handler: logging.Handler) -> logging.Logger:
    logger = logging.Logger("podagent.test", logging.DEBUG)
    logger.addHandler(handler)
    return logger


def to_stderr(stream: io.StringIO, *, priorities: bool = False, fields: bool = False) -> logging.Logger:
    return logger_to(StderrHandler(stream, priorities=priorities, fields=fields))


class Received:
    """Stands where systemd.journal.send would, and is as particular about types as that."""

    def __init__(self) -> None:
        self.entries: list[dict[str, str]] = []

    def __call__(self, message: str, **fields: object) -> None:
        line = fields.pop("CODE_LINE")
        assert isinstance(line, int)
        self.entries.append({"MESSAGE": message, "CODE_LINE": f"{line:d}"})
        for name, value in fields.items():
            assert isinstance(value, str)
            self.entries[-1][name] = value


def to_journal(received: Callable[..., None], stream: io.StringIO | None = None) -> logging.Logger:
    fallback = StderrHandler(stream or io.StringIO(), priorities=True, fields=True)
    return logger_to(JournalHandler(received, fallback))


class Unprintable:
    def __str__(self) -> str:
        raise RuntimeError("no")

    __repr__ = __str__


def test_a_line_on_stderr_begins_with_the_level(stream: io.StringIO) -> None:
    to_stderr(stream).warning("plugin %s is slow", "bridge")
    assert stream.getvalue() == "WARNING plugin bridge is slow\n"


@pytest.mark.parametrize(
    ("level", "priority"), [("critical", 2), ("error", 3), ("warning", 4), ("info", 6), ("debug", 7)]
)
def test_a_line_for_the_journal_begins_with_its_priority(stream: io.StringIO, level: str, priority: int) -> None:
    to_stderr(stream, priorities=True).log(getattr(logging, level.upper()), "x")
    assert stream.getvalue() == f"<{priority}>x\n"


def test_a_hostile_text_cannot_forge_a_second_line_or_move_the_cursor(stream: io.StringIO) -> None:
    to_stderr(stream, priorities=True).info("network %s", "a\n<0>forged\r\x1b[2J\u2028\u202e\x9b\0")
    assert stream.getvalue() == "<6>network a\\n<0>forged\\r\\x1b[2J\\u2028\\u202e\\x9b\\x00\n"


def test_letters_of_all_scripts_stay_readable() -> None:
    assert printable("Zürich 東京") == "Zürich 東京"


def test_an_endless_message_is_cut_and_says_so(stream: io.StringIO) -> None:
    to_stderr(stream).info("x" * 1_000_000)
    assert len(stream.getvalue()) < 5000
    assert stream.getvalue().endswith("more characters)\n")


def test_an_exception_stays_in_one_line_of_stderr(stream: io.StringIO) -> None:
    try:
        raise ValueError("first\nsecond")
    except ValueError:
        to_stderr(stream).exception("it failed")
    assert stream.getvalue().count("\n") == 1
    assert "ValueError: first\\nsecond" in stream.getvalue()


def test_fields_are_appended_when_asked_for(stream: io.StringIO) -> None:
    extra = {
        "POD": "web-0",
        "RESULT": 'say "no"\n',
        "DURATION_MS": 12,
        "MESSAGE_ID": "abc",
        "NETWORK": None,
        "lower": 1,
    }
    to_stderr(stream, fields=True).info("attached", extra=extra)
    assert stream.getvalue() == 'INFO attached POD=web-0 RESULT="say \\"no\\"\\\\n" DURATION_MS=12\n'


def test_fields_are_left_out_otherwise(stream: io.StringIO) -> None:
    to_stderr(stream).info("attached", extra={"POD": "web-0"})
    assert stream.getvalue() == "INFO attached\n"


def test_the_journal_gets_message_priority_and_fields() -> None:
    received = Received()
    extra = {"POD": "web-0", "DURATION_MS": 12, "MESSAGE_ID": "0" * 32, "POD_NAMESPACE": None}
    to_journal(received).info("attached %s", "green\nx", extra=extra)
    (entry,) = received.entries
    assert entry["MESSAGE"] == "attached green\\nx"
    assert (entry["PRIORITY"], entry["POD"], entry["DURATION_MS"]) == ("6", "web-0", "12")
    assert entry["MESSAGE_ID"] == "0" * 32
    assert entry["SYSLOG_IDENTIFIER"] == "podagent"
    assert entry["LOGGER"] == "podagent.test"
    assert "POD_NAMESPACE" not in entry
    assert int(entry["CODE_LINE"]) > 0


def test_a_field_cannot_overwrite_what_the_journal_is_told_about_the_record() -> None:
    received = Received()
    to_journal(received).info("x", extra={"PRIORITY": "0", "MESSAGE": "forged", "_PID": "1"})
    (entry,) = received.entries
    assert (entry["MESSAGE"], entry["PRIORITY"]) == ("x", "6")
    assert "_PID" not in entry


def test_an_exception_is_readable_in_the_journal() -> None:
    received = Received()
    try:
        raise ValueError("boom")
    except ValueError:
        to_journal(received).exception("it failed")
    lines = received.entries[0]["MESSAGE"].splitlines()
    assert lines[0] == "it failed"
    assert lines[-1] == "ValueError: boom"


def test_arguments_that_do_not_fit_the_text_are_logged_all_the_same(stream: io.StringIO) -> None:
    to_stderr(stream).error("%s and %s", "one")
    assert "one" in stream.getvalue()


def test_logging_never_raises(stream: io.StringIO) -> None:
    closed = io.StringIO()
    closed.close()
    to_stderr(closed).error("x")
    to_stderr(stream).error("%s", Unprintable())
    to_stderr(stream, fields=True).error("x", extra={"POD": Unprintable()})

    def refuse(*_: object, **__: object) -> None:
        raise OSError("no journal")

    to_journal(refuse).error("x")
    to_stderr(stream).info("still here")
    assert stream.getvalue().endswith("INFO still here\n")


def test_what_the_journal_refuses_goes_to_stderr(stream: io.StringIO) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no journal")

    to_journal(refuse, stream).error("it failed", extra={"POD": "web-0"})
    assert stream.getvalue() == "<3>it failed POD=web-0\n"


def test_stderr_is_the_journal_only_if_it_is_the_very_stream(tmp_path: Path) -> None:
    with (tmp_path / "stream").open("w") as file:
        status = os.fstat(file.fileno())
        same = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
        assert stderr_is_journal(same, file.fileno())
        assert not stderr_is_journal({"JOURNAL_STREAM": "1:1"}, file.fileno())
        assert not stderr_is_journal({"JOURNAL_STREAM": "rubbish"}, file.fileno())
        assert not stderr_is_journal({}, file.fileno())
    assert not stderr_is_journal(same, 987654)


@pytest.mark.usefixtures("restored_logging")
def test_setup_lets_through_the_agents_level_and_the_warnings_of_libraries(
    monkeypatch: pytest.MonkeyPatch, stream: io.StringIO
) -> None:
    monkeypatch.setattr(sys, "stderr", stream)
    journal.setup("info", {})
    logging.getLogger("podagent.x").debug("ours, debug")
    logging.getLogger("podagent.x").info("ours, info")
    logging.getLogger("urllib3.connectionpool").info("theirs, info")
    logging.getLogger("kubernetes").warning("theirs, warning")
    assert stream.getvalue() == "INFO ours, info\nWARNING theirs, warning\n"


@pytest.mark.usefixtures("restored_logging")
def test_setup_may_be_called_again_to_change_the_level(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO) -> None:
    monkeypatch.setattr(sys, "stderr", stream)
    journal.setup("error", {})
    journal.setup("debug", {})
    logging.getLogger("podagent.x").debug("once", extra={"POD": "web-0"})
    assert stream.getvalue() == "DEBUG once POD=web-0\n"
