from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from podagent.kactus.log import log, setup


@pytest.fixture(autouse=True)
def _silent_afterwards() -> Iterator[None]:
    yield
    setup({})


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def say_everything() -> None:
    for level in ("error", "warning", "info", "debug"):
        log(level, f"a word of {level}")


@pytest.mark.parametrize(
    ("level", "told"),
    [("", 2), ("1", 2), ("error", 2), ("2", 3), ("info", 3), ("INFO", 3), ("3", 4), ("debug", 4), ("99", 4), ("0", 0),
     ("nonsense", 2), ("9" * 400, 4)],
)  # fmt: skip
def test_the_level_decides_what_is_told(tmp_path: Path, level: str, told: int) -> None:
    setup({"_CNI_LOGGING_FILE": str(tmp_path / "log"), "_CNI_LOGGING_LEVEL": level})
    say_everything()
    assert len(lines(tmp_path / "log")) == told


def test_a_level_without_a_file_goes_to_the_standard_error(capfd: pytest.CaptureFixture[str]) -> None:
    setup({"_CNI_LOGGING_LEVEL": "1"})
    say_everything()
    assert "a word of error" in capfd.readouterr().err


def test_nothing_is_told_when_nothing_is_asked_for(capfd: pytest.CaptureFixture[str]) -> None:
    setup({})
    say_everything()
    assert capfd.readouterr() == ("", "")


def test_the_prefix_the_level_and_the_process_are_in_the_line(tmp_path: Path) -> None:
    setup({"_CNI_LOGGING_FILE": str(tmp_path / "log"), "_CNI_LOGGING_PREFIX": "node7"})
    log("error", "it broke")
    assert f"[error] node7 kactus[{os.getpid()}]: it broke" in lines(tmp_path / "log")[0]


@pytest.mark.parametrize("hostile", ["two\nlines", "\x1b[2J", "nul\0", "\udcff", "a\u2028b", "x" * 100_000])
def test_hostile_text_stays_one_printable_line(tmp_path: Path, hostile: str) -> None:
    setup({"_CNI_LOGGING_FILE": str(tmp_path / "log"), "_CNI_LOGGING_PREFIX": hostile[:50]})
    log("error", hostile)
    (line,) = lines(tmp_path / "log")
    assert line.isprintable()
    assert len(line) < 50_000


@pytest.mark.parametrize("text", ["Größe", "'quoted'", "C:\\x"])
def test_what_can_be_printed_stays_as_it_is(tmp_path: Path, text: str) -> None:
    setup({"_CNI_LOGGING_FILE": str(tmp_path / "log")})
    log("error", text)
    assert lines(tmp_path / "log")[0].endswith(f": {text}")


def test_no_file_that_cannot_be_written_fails_a_call(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "no" / "such", tmp_path / "pipe", "relative", "/dev/full", "/" + "x" * 5000):
        setup({"_CNI_LOGGING_FILE": str(path)})
        log("error", "nobody hears this")


def test_only_root_may_read_a_new_log(tmp_path: Path) -> None:
    setup({"_CNI_LOGGING_FILE": str(tmp_path / "log")})
    log("error", "it broke")
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o600
