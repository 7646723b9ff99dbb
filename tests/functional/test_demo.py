"""`make demo`, for real: it plays the example of the README, notices what is wrong, and leaves nothing behind."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from functional.ways import CHOSEN
from lab import processes, programs
from lab.leases import lease_dir
from lab.pins import pin_dir
from lab.waiting import eventually

pytestmark = pytest.mark.root

ROOT = Path(__file__).parents[2]
RUN_DIR = Path("/var/lib/podagent-demo")
LINKS = Path("/sys/class/net")
# Of the host; a test fails when the demo has made one of them and it is still there.
PLACES = (
    RUN_DIR,
    pin_dir(RUN_DIR / "agent" / "state"),
    LINKS / "data-br",
    LINKS / "podagent-demo",
    lease_dir("data"),
    Path("/etc/docker/key.json"),
)

FIRST = "$(kubectl get pod -l run=hello-multi-net -o name | cut -d/ -f2 | head -1)"
SECOND = FIRST.replace("head", "tail")
EXAMPLE = [
    "kubectl apply -f examples/data-net.yaml",
    "kubectl run hello-multi-net --image=alpine --replicas=2 -- top",
    f"./scripts/add-network-annotation.sh {FIRST} data",
    f"kubectl exec -t {FIRST} -- ip a",
    f"kubectl get pod -l run=hello-multi-net -o wide | grep {FIRST}",
    f"./scripts/del-network-annotation.sh {FIRST} data",
    f"kubectl exec -t {FIRST} -- ip a",
    f"kubectl get pod -l run=hello-multi-net -o wide | grep {FIRST}",
    f"./scripts/add-network-annotation.sh {SECOND} data",
]


class Demo:
    """The demo as a process, and what it has printed so far."""

    def __init__(self, output: Path, *arguments: str, root: Path = ROOT, within: Sequence[str] = ()) -> None:
        """`within`: what starts it."""
        self._output = output
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": "tests", "PYTHONDONTWRITEBYTECODE": "1"}
        with output.open("wb") as file:
            self.process = subprocess.Popen(
                [*within, sys.executable, "-m", "demo", *arguments], cwd=root, env=environment,
                stdin=subprocess.DEVNULL, stdout=file, stderr=file,
            )  # fmt: skip

    @property
    def text(self) -> str:
        return self._output.read_text()

    def wait_for(self, text: str) -> None:
        eventually(lambda: text in self.text, 60, f"{text!r} in the output")

    def end(self, seconds: float = 120) -> int:
        """Waits for its end; returns the exit code."""
        return self.process.wait(seconds)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(60)


Start = Callable[..., Demo]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts demos; afterwards the host must be as it was."""
    before = {place for place in PLACES if place.exists()}
    assert not before & set(PLACES[:4]), f"a demo, or something that looks like one, is on this host: {before}"
    started: list[Demo] = []

    def start(*arguments: str, **options: Any) -> Demo:
        started.append(Demo(tmp_path / f"output{len(started)}", *arguments, **options))
        return started[-1]

    yield start
    for demo in started:
        demo.close()
        print(demo.text)
    assert {place for place in PLACES if place.exists()} == before
    assert processes.mentioning(f"{RUN_DIR}/") == []
    assert str(RUN_DIR) not in Path("/proc/self/mountinfo").read_text()


@pytest.mark.parametrize("runtime", CHOSEN)
@pytest.mark.parametrize("mode", ["delegate", "system"])
def test_plays_the_example_to_the_letter_and_alone_and_finds_everything_as_promised(
    start: Start, mode: str, runtime: str
) -> None:
    demo = start("--mode", mode, "--runtime", runtime)
    demo.wait_for("starting")
    second = start()
    assert second.end() == 2
    assert "another demo is running" in second.text

    assert demo.end() == 0
    commands = re.findall(r"^ +\$ (.*)$", demo.text, re.MULTILINE)
    # Beyond the example: a look at the second pod, and at the bridge.
    assert commands[: len(EXAMPLE)] == EXAMPLE
    assert commands[len(EXAMPLE)] == f"kubectl exec -t {SECOND} -- ip a"
    assert "data-br" in commands[-1]
    attached, detached, again = re.findall(r"podagent \| (\S+) net8d777f385d3d", demo.text)
    assert (attached, detached, again) == ("attached", "detached", "attached")
    assert len(re.findall(r"inet 172\.20\.1\.\d+/24 brd 172\.20\.1\.255 scope global net8d777f385d3d", demo.text)) == 2
    assert re.search(r"✔ net8d777f385d3d with 172\.20\.1\.\d+/24 was in pod .* \d+ ms after the annotation", demo.text)
    assert "✔ no container was restarted" in demo.text
    assert "✔ nothing is left behind" in demo.text
    assert ("kactus as the node's CNI plugin" in demo.text) == (mode == "system")
    assert "\033[" not in demo.text


def test_the_readme_shows_every_command_of_the_example() -> None:
    readme = (ROOT / "README.md").read_text()
    assert f"$ POD={FIRST}\n" in readme
    readme = readme.replace("$POD", FIRST)
    assert [command for command in EXAMPLE if f"$ {command}\n" not in readme] == []


@pytest.mark.parametrize(
    ("runtime", "mode", "moment"),
    [
        ("docker", "delegate", "podagent: networks"),
        ("docker", "delegate", "starting dockerd"),
        ("docker", "delegate", "starting podagent"),
        ("docker", "delegate", "kubectl run"),
        ("docker", "system", "network data added"),
        ("docker", "system", "5."),
        ("containerd", "system", "network data added"),
    ],
)
def test_leaves_nothing_behind_when_interrupted(start: Start, runtime: str, mode: str, moment: str) -> None:
    demo = start("--mode", mode, "--runtime", runtime)
    demo.wait_for(moment)
    demo.process.send_signal(signal.SIGINT)
    assert demo.end() == 128 + signal.SIGINT
    assert demo.text.rstrip().endswith("nothing is left behind")
    assert "Traceback" not in demo.text


def test_the_only_runtime_of_a_machine_is_set_up_and_played_on(start: Start) -> None:
    hidden = f"mount --bind /dev/null {programs.find('dockerd', 'docker.io')}"
    without_docker = ["unshare", "--mount", "sh", "-ec", f'{hidden}; exec "$@"', "sh"]
    set_up = [*without_docker, "env", "--unset=RUNTIME", "scripts/setup.sh", "demo"]
    assert subprocess.run(set_up, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout == b"", "nothing is installed"
    demo = start(within=without_docker)
    demo.wait_for("starting containerd")
    demo.process.send_signal(signal.SIGINT)
    assert demo.end() == 128 + signal.SIGINT


def test_leaves_nothing_behind_when_interrupted_again_and_again_and_terminated(start: Start) -> None:
    demo = start()
    demo.wait_for("network data added")
    while demo.process.poll() is None:
        demo.process.send_signal(signal.SIGINT)
        demo.process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            demo.end(0.1)
    assert demo.end() in (128 + signal.SIGINT, 128 + signal.SIGTERM)
    assert "Traceback" not in demo.text


def test_the_next_demo_cleans_up_after_one_that_was_killed(start: Start) -> None:
    killed = start()
    # Not earlier: the agent could lose the API server before it has read the network's definition.
    killed.wait_for("podagent | attached")
    killed.process.kill()
    killed.end()
    assert LINKS.joinpath("data-br").exists()
    following = start()
    following.wait_for("starting dockerd")
    following.process.send_signal(signal.SIGTERM)
    assert following.end() == 128 + signal.SIGTERM


def test_refuses_a_host_that_has_a_data_bridge_or_leases_of_a_data_network_and_leaves_them_alone(start: Start) -> None:
    subprocess.run(["ip", "link", "add", "data-br", "type", "bridge"], check=True)
    try:
        demo = start()
        assert demo.end() == 2
        assert "interface data-br already" in demo.text
        assert LINKS.joinpath("data-br").exists()
    finally:
        subprocess.run(["ip", "link", "delete", "data-br"], check=True)

    lease = lease_dir("data") / "172.20.1.10"
    lease.parent.mkdir(parents=True)
    lease.write_text("somebody\neth1")
    try:
        demo = start()
        assert demo.end() == 2
        assert str(lease.parent) in demo.text
        assert lease.read_text() == "somebody\neth1"
    finally:
        shutil.rmtree(lease.parent)


def test_fails_when_an_address_is_not_of_the_promised_subnet(start: Start, tmp_path: Path) -> None:
    root = tmp_path / "checkout"
    for part in ("demo", "examples", "scripts", "src", "tests/lab"):
        shutil.copytree(ROOT / part, root / part)
    definition = root / "examples" / "data-net.yaml"
    definition.write_text(definition.read_text().replace("172.20.1.", "172.21.1."))
    demo = start(root=root)
    assert demo.end() == 1
    assert "✘ net8d777f385d3d has no address of 172.20.1.0/24" in demo.text
    assert "As promised" not in demo.text
