from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from podagent.kactus.log import log, setup

Logged = Callable[..., list[str]]


@pytest.fixture
def logged(tmp_path: Path) -> Iterator[Logged]:
    """Sets the log up with these variables and a file, logs the messages, and gives the lines."""
    file = tmp_path / "log"

    def write(*messages: tuple[str, str], **environ: str) -> list[str]:
        setup({"_CNI_LOGGING_FILE": str(file), **{f"_CNI_LOGGING_{name}": value for name, value in environ.items()}})
        for level, message in messages:
            log(level, message)
        return file.read_text().splitlines() if file.exists() else []

    yield write
    setup({})


EVERYTHING = [(level, f"a word of {level}") for level in ("error", "warning", "info", "debug")]


@pytest.mark.parametrize(
    ("level", "lines"),
    [("", 2), ("1", 2), ("error", 2), ("2", 3), ("info", 3), ("INFO", 3), ("3", 4), ("debug", 4), ("99", 4), ("0", 0),
     ("nonsense", 2), ("9" * 400, 4)],
)  # fmt: skip
def test_the_level_decides_which_lines_are_written(logged: Logged, level: str, lines: int) -> None:
    assert len(logged(*EVERYTHING, LEVEL=level)) == lines


def test_without_a_file_the_log_is_the_standard_error_if_a_level_is_given(
    logged: Logged, capfd: pytest.CaptureFixture[str]
) -> None:
    logged(*EVERYTHING, FILE="")
    assert capfd.readouterr() == ("", "")
    logged(*EVERYTHING, FILE="", LEVEL="1")
    assert "a word of error" in capfd.readouterr().err


def test_a_line_has_the_level_the_prefix_and_the_process_and_only_root_may_read_it(
    logged: Logged, tmp_path: Path
) -> None:
    (line,) = logged(("error", "it broke"), PREFIX="node7")
    assert f"[error] node7 kactus[{os.getpid()}]: it broke" in line
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("hostile", ["two\nlines", "\x1b[2J", "nul\0", "\udcff", "a\u2028b", "x" * 100_000])
def test_hostile_text_stays_one_printable_line(logged: Logged, hostile: str) -> None:
    (line,) = logged(("error", hostile), PREFIX=hostile[:50])
    assert line.isprintable()
    assert len(line) < 50_000


@pytest.mark.parametrize("text", ["Größe", "'quoted'", "C:\\x"])
def test_printable_text_stays_as_it_is(logged: Logged, text: str) -> None:
    assert logged(("error", text))[0].endswith(f": {text}")


def test_no_file_that_cannot_be_written_fails_a_call(logged: Logged, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "no" / "such", tmp_path / "pipe", "relative", "/dev/full", "/" + "x" * 5000):
        logged(("error", "nobody hears this"), FILE=str(path))
