"""The command as a real process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab.agent import Agent
from lab.apiserver import ApiServer
from lab.waiting import eventually

SOURCES = str(Path(__file__).parents[2] / "src")

# Whether or not python3-systemd is installed here, the process under test must not write to this machine's journal.
LOG_WITHOUT_SYSTEMD = """
import logging, sys
sys.modules["systemd"] = None
from podagent.report import journal
journal.setup("info")
logging.getLogger("podagent.x").warning("first\\nsecond Z\\xfc", extra={"POD": "web-0"})
"""


def python(
    *arguments: str, environ: dict[str, str] | None = None, stderr: int = subprocess.PIPE
) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PODAGENT_")}
    return subprocess.run(
        [sys.executable, *arguments], env=clean | {"PYTHONPATH": SOURCES} | (environ or {}), text=True,
        stdout=subprocess.PIPE, stderr=stderr, timeout=60, check=False,
    )  # fmt: skip


def podagent(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return python("-m", "podagent", *arguments, environ=environ)


def test_ifname_is_quick_since_it_imports_nothing_of_the_agent() -> None:
    code = (
        "import sys\nfrom podagent.cli import main\nassert main(['ifname', 'green']) == 0\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    # The extra arguments of `run` are none of its business.
    name, modules = python("-c", code, environ={"PODAGENT_EXTRA_ARGS": "-nonsense"}).stdout.splitlines()
    assert name == "net9f27410725ab"
    assert not {"kubernetes", "docker", "urllib3", "ssl", "sdnotify"} & set(modules.split())


@pytest.mark.parametrize("arguments", [(), ("run", "-v=4")])
def test_a_wrong_setting_ends_it_with_code_2_and_one_line(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    path = tmp_path / "podagent.toml"
    path.write_text('resync-period = "soon"\n')
    ended = podagent(*arguments, PODAGENT_CONFIG=str(path))
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith(f"podagent: resync-period, from {path}: 'soon' is not accepted")
    assert ended.stderr.count("\n") == 1


def test_a_hostile_variable_cannot_write_more_than_its_line() -> None:
    ended = podagent("run", PODAGENT_NODE="a\n<0>forged\x1b[2J")
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert "\x1b" not in ended.stderr


def test_a_reader_that_went_away_is_no_traceback() -> None:
    names = ["n" + str(number) for number in range(20000)]
    code = f"{sys.executable} -m podagent ifname {' '.join(names)} | head -1"
    ended = subprocess.run(["sh"], input=code, env={"PYTHONPATH": SOURCES}, text=True, capture_output=True, timeout=60)
    assert ended.stderr == ""


@pytest.mark.parametrize(
    ("journal", "expected"), [(True, "<4>first\\nsecond Z\\xfc\n"), (False, "WARNING first\\nsecond Z\\xfc\n")]
)
def test_a_line_has_a_priority_under_systemd_and_elsewhere_its_level_whatever_its_letters(
    tmp_path: Path, journal: bool, expected: str
) -> None:
    path = tmp_path / "stderr"
    with path.open("w") as stderr:
        status = os.fstat(stderr.fileno())
        environ = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"}
        environ["JOURNAL_STREAM"] = f"{status.st_dev}:{status.st_ino}" if journal else "1:1"
        python("-X", "utf8=0", "-c", LOG_WITHOUT_SYSTEMD, environ=environ, stderr=stderr.fileno())
    assert path.read_text() == expected


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[[], Agent]]:
    """Starts agents on a machine that has nothing; each has come as far as to hold back signals, not to be ready."""
    agents: list[Agent] = []

    def start() -> Agent:
        nothing = tmp_path / "nothing"
        directory = tmp_path / str(len(agents))
        agent = Agent(directory, kubeconfig=nothing, docker_endpoint=f"unix://{nothing}", cni_bin_path=nothing)
        agents.append(agent)
        agent.start(wait=False)
        eventually(lambda: signal.SIGHUP in blocked(agent.pid), what="SIGHUP to be held back")
        return agent

    yield start
    for agent in agents:
        agent.close()


def blocked(pid: int) -> set[int]:
    status = Path(f"/proc/{pid}/status").read_text()
    mask = int(status.partition("SigBlk:")[2].split()[0], 16)
    return {number for number in range(1, 65) if mask >> (number - 1) & 1}


@pytest.mark.promise(
    "Agent: it runs under a node name that nobody registered",
    "a warning and the status say so, with the names that would fit",
)
def test_a_node_name_that_nobody_registered_is_in_the_status(tmp_path: Path) -> None:
    nothing = tmp_path / "nothing"
    with ApiServer() as api:
        api.create({"kind": "Node", "metadata": {"name": "lab-node.example"}})
        kubeconfig = api.write_kubeconfig(tmp_path / "kubeconfig")
        agent = Agent(
            tmp_path / "agent", kubeconfig=kubeconfig, docker_endpoint=f"unix://{nothing}", cni_bin_path=nothing
        )
        try:
            agent.start()
            doubt = (
                "no node lab-node is registered: set node to its name in `kubectl get nodes`, such as lab-node.example"
            )
            eventually(lambda: agent.notifications.status == f"No pods: {doubt}", what="the doubt in the status")
            agent.wait_for_log(f"there are no pods, and {doubt}")
        finally:
            agent.close()


@pytest.mark.promise("Agent: SIGHUP arrives during the start", "the agent starts, then reloads")
def test_a_reload_at_any_moment_of_the_start_is_no_end_of_the_agent(started: Callable[[], Agent]) -> None:
    agent = started()
    while not agent.notifications.all("READY"):
        agent.reload()
        assert agent.running
    agent.wait_for_log("reloaded")
    assert agent.stop() == 0


@pytest.mark.promise("Agent: SIGTERM arrives during the start", "the agent ends in order, with exit code 0")
@pytest.mark.parametrize("delay_s", [0.0, 0.1, 0.3, 0.6])
def test_sigterm_at_any_moment_of_the_start_ends_the_agent_in_order(
    started: Callable[[], Agent], delay_s: float
) -> None:
    agent = started()
    time.sleep(delay_s)
    assert agent.stop() == 0
    assert "SIGTERM received: stopping" in agent.log()
