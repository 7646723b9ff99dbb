from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import podagent
from lab.waiting import eventually
from podagent.host.orphans import await_end, await_orphans, kill

SANDBOX, IFNAME = f"sandbox-{uuid.uuid4().hex}", "net0"
WANTED = {"CNI_CONTAINERID": SANDBOX, "CNI_IFNAME": IFNAME}
ENV = {"CNI_COMMAND": "ADD", **WANTED, "PATH": os.environ["PATH"]}
SOURCE = Path(podagent.__file__).parent.parent
Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a shell script as a plugin; it may ``read`` its standard input to wait for the test."""
    processes: list[subprocess.Popen[bytes]] = []

    def begin(script: str = "read x", env: dict[str, str] = ENV) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            ["/bin/sh", "-c", f"echo; {script}"],
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        processes.append(process)
        assert process.stdout is not None
        process.stdout.readline()
        return process

    yield begin
    for process in processes:
        process.kill()
        process.communicate()


def holds_a_process() -> bool:
    """Whether this process has a descriptor of another one open."""
    targets: list[str] = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed since
            targets.append(str(descriptor.readlink()))
    return any("pidfd" in target for target in targets)


class Waiting(threading.Thread):
    """Someone who waits for the plugins in the background."""

    def __init__(self) -> None:
        super().__init__()
        self.all_gone: bool | None = None
        self.start()
        eventually(holds_a_process, 10, "a round to begin")

    def run(self) -> None:
        self.all_gone = await_end(WANTED, 60)


def test_with_nothing_at_work_all_is_gone_at_once() -> None:
    assert await_orphans(SANDBOX, IFNAME, 60)
    assert kill(WANTED)


def test_a_plugin_is_waited_for_until_it_has_ended_by_itself(start: Start) -> None:
    process = start("read x; exit 7")
    waiting = Waiting()
    process.communicate(b"go on\n")
    waiting.join(10)
    assert (waiting.all_gone, process.returncode) == (True, 7)


def test_the_ipam_plugin_that_a_dead_plugin_left_behind_is_waited_for_too(start: Start, tmp_path: Path) -> None:
    start(f"sleep 60 & echo $! > {tmp_path}/new; mv {tmp_path}/new {tmp_path}/pid").wait()
    waiting = Waiting()
    os.kill(int((tmp_path / "pid").read_text()), 9)
    waiting.join(10)
    assert waiting.all_gone


def test_waiting_alone_kills_nothing_and_says_that_something_is_left(start: Start) -> None:
    process = start()
    assert not await_end(WANTED, 0.05)
    assert process.poll() is None


def test_what_outlives_the_bound_is_killed_with_all_it_has_started(start: Start) -> None:
    process = start("trap '' TERM; sleep 60 & sleep 60 & wait")
    assert await_orphans(SANDBOX, IFNAME, 0.05)
    assert process.wait(10) == -9
    assert await_end(WANTED, 0)


@pytest.mark.parametrize(
    "change", [{"CNI_CONTAINERID": SANDBOX + "2"}, {"CNI_IFNAME": "net01"}, {"CNI_IFNAME": ""}, {"CNI_COMMAND": None}]
)
def test_what_has_another_environment_is_left_alone(start: Start, change: dict[str, str | None]) -> None:
    changed = {key: value for key, value in {**ENV, **change}.items() if value is not None}
    process = start(env=changed)
    assert await_orphans(SANDBOX, IFNAME, 0)
    assert process.poll() is None


def test_what_a_plugin_leaves_behind_on_purpose_has_let_go_of_its_output_and_is_left_alone(
    start: Start, tmp_path: Path
) -> None:
    process = start(f"exec > /dev/null; : > {tmp_path}/let-go; read x")
    eventually((tmp_path / "let-go").exists)
    assert await_orphans(SANDBOX, IFNAME, 0)
    assert process.poll() is None


def test_neither_this_process_nor_one_of_its_parents_is_waited_for() -> None:
    call = f"import sys; sys.path.insert(0, {str(SOURCE)!r}); from podagent.host.orphans import await_orphans as a; "
    call += f"print(a({SANDBOX!r}, {IFNAME!r}, 0))"
    script = f'{sys.executable} -ISc "{call}"; echo alive'
    done = subprocess.run(["/bin/sh", "-c", script], env=ENV, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["True", "alive"]


def test_a_kernel_without_descriptors_of_processes_does_as_well(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "pidfd_open")
    process = start()
    assert await_orphans(SANDBOX, IFNAME, 0.05)
    assert process.wait(10) == -9


def test_nothing_is_imported_for_it_that_takes_long() -> None:
    heavy = {"pathlib", "ctypes", "dataclasses", "logging", "typing", "subprocess", "threading"}
    script = f"import sys; sys.path.insert(0, {str(SOURCE)!r}); import podagent.host.orphans\n"
    script += f"print(sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-ISc", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
