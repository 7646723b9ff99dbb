"""The command as a real process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SOURCES = str(Path(__file__).parents[2] / "src")

# Whether or not python3-systemd is installed here, the process under test must not write to this machine's journal.
LOG_WITHOUT_SYSTEMD = """
import logging, sys
sys.modules["systemd"] = None
from podagent.report import journal
journal.setup(sys.argv[1])
logging.getLogger("podagent.x").warning("first\\nsecond", extra={"POD": "web-0"})
"""


def environment(**changes: str) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PODAGENT_")}
    return clean | {"PYTHONPATH": SOURCES} | changes


def podagent(*arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "podagent", *arguments]
    return subprocess.run(command, env=environment(**changes), text=True, capture_output=True, timeout=60, check=False)


def test_ifname_is_quick_since_it_imports_nothing_of_the_agent() -> None:
    code = (
        "import sys\nfrom podagent.cli import main\nassert main(['ifname', 'green']) == 0\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], env=environment(), text=True, capture_output=True, timeout=60, check=True
    )
    name, modules = ended.stdout.splitlines()
    assert name == "net9f27410725ab"
    assert not {"kubernetes", "docker", "urllib3", "ssl", "sdnotify"} & set(modules.split())


@pytest.mark.parametrize("arguments", [(), ("run",), ("-node", "worker-1"), ("run", "-v=4")])
def test_a_wrong_setting_ends_it_with_code_2_and_one_line(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    path = tmp_path / "podagent.toml"
    path.write_text('resync-period = "soon"\n')
    ended = podagent(*arguments, PODAGENT_CONFIG=str(path))
    assert ended.returncode == 2
    assert ended.stderr.startswith(f"podagent: resync-period, from {path}: 'soon' is not accepted")
    assert ended.stderr.count("\n") == 1
    assert ended.stdout == ""


def test_a_hostile_variable_cannot_write_more_than_its_line() -> None:
    ended = podagent("run", PODAGENT_NODE="a\n<0>forged\x1b[2J")
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert "\x1b" not in ended.stderr


def test_wrong_extra_arguments_end_it_with_code_2() -> None:
    ended = podagent(PODAGENT_EXTRA_ARGS="-cni-vendor-name ../x -logtostderr")
    assert ended.returncode == 2
    assert "cni-vendor-name, from PODAGENT_EXTRA_ARGS" in ended.stderr


def test_extra_arguments_do_not_disturb_the_other_commands() -> None:
    ended = podagent("ifname", "data", PODAGENT_EXTRA_ARGS="-nonsense")
    assert (ended.returncode, ended.stdout) == (0, "net8d777f385d3d\n")


def test_a_reader_that_went_away_is_no_traceback() -> None:
    names = ["n" + str(number) for number in range(20000)]
    with subprocess.Popen(
        [sys.executable, "-m", "podagent", "ifname", *names],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert "Traceback" not in process.stderr.read()


def test_under_systemd_lines_carry_priorities_and_elsewhere_the_level(tmp_path: Path) -> None:
    for journal, expected in ((True, "<4>first\\nsecond\n"), (False, "WARNING first\\nsecond\n")):
        path = tmp_path / f"stderr-{journal}"
        with path.open("w") as stderr:
            status = os.fstat(stderr.fileno())
            stream = f"{status.st_dev}:{status.st_ino}" if journal else "1:1"
            subprocess.run(
                [sys.executable, "-c", LOG_WITHOUT_SYSTEMD, "info"],
                env=environment(JOURNAL_STREAM=stream),
                stderr=stderr,
                timeout=60,
                check=True,
            )
        assert path.read_text() == expected


def test_letters_of_all_scripts_do_not_stop_the_log_of_an_ascii_process() -> None:
    code = (
        "import logging\nfrom podagent.report import journal\njournal.setup('info')\n"
        "logging.getLogger('podagent').info('Z\\xfc')"
    )
    ended = subprocess.run(
        [sys.executable, "-X", "utf8=0", "-c", code],
        env=environment(LC_ALL="C", PYTHONCOERCECLOCALE="0"),
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert ended.stderr == b"INFO Z\\xfc\n"
