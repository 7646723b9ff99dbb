from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import podagent
from lab.processes import open_files
from lab.waiting import eventually
from podagent.host.orphans import await_end, await_orphans, kill
from unit.failing import FailingCalls

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
        command = ["/bin/sh", "-c", f"echo; {script}"]
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, env=env, stdin=pipe, stdout=pipe, start_new_session=True)
        processes.append(process)
        assert process.stdout is not None
        process.stdout.readline()
        return process

    yield begin
    for process in processes:
        process.kill()
        process.communicate()


class Waiting(threading.Thread):
    """Waits for the plugins in the background; it has begun to when it holds one of them open."""

    def __init__(self) -> None:
        super().__init__()
        self.all_gone: bool | None = None
        self.start()
        eventually(lambda: any("pidfd" in target for target in open_files()), 10, "a round to begin")

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


def test_a_plugin_that_executes_another_program_is_at_work_all_the_time(start: Start, tmp_path: Path) -> None:
    wrapper = tmp_path / "wrapper"
    wrapper.write_text(f"#!/bin/sh\nexec {wrapper}\n")
    wrapper.chmod(0o755)
    start(f"exec {wrapper}")
    assert [await_end(WANTED, 0) for _ in range(200)] == [False] * 200


def test_waiting_alone_kills_nothing(start: Start) -> None:
    process = start()
    assert not await_end(WANTED, 0.02)
    assert process.poll() is None


@pytest.mark.parametrize("pidfds", [True, False], ids=["", "a kernel without descriptors of processes"])
def test_a_plugin_that_outlives_the_bound_is_killed_with_its_children(
    start: Start, monkeypatch: pytest.MonkeyPatch, pidfds: bool
) -> None:
    if not pidfds:
        monkeypatch.delattr(os, "pidfd_open")
    process = start("trap '' TERM; sleep 60 & sleep 60 & wait")
    assert await_orphans(SANDBOX, IFNAME, 0.02)
    assert process.wait(10) == -9
    assert await_end(WANTED, 0)


@pytest.mark.parametrize(
    "change", [{"CNI_CONTAINERID": SANDBOX + "2"}, {"CNI_IFNAME": "net01"}, {"CNI_IFNAME": ""}, {"CNI_COMMAND": None}]
)
def test_a_process_with_another_environment_is_left_alone(start: Start, change: dict[str, str | None]) -> None:
    process = start(env={key: value for key, value in {**ENV, **change}.items() if value is not None})
    assert await_orphans(SANDBOX, IFNAME, 0)
    assert process.poll() is None


def test_a_process_of_another_user_is_left_alone(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    process = start()
    monkeypatch.setattr(os, "geteuid", lambda: 4242)
    assert await_orphans(SANDBOX, IFNAME, 0)
    monkeypatch.undo()
    assert process.poll() is None
    assert not await_end(WANTED, 0)


def test_a_large_environment_is_read_in_part(start: Start) -> None:
    process = start(env={**{f"A{number}": "x" * 1000 for number in range(1000)}, **ENV})
    assert await_orphans(SANDBOX, IFNAME, 0)
    assert process.poll() is None


def test_a_daemon_that_has_let_go_of_its_output_is_left_alone(start: Start, tmp_path: Path) -> None:
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


def test_a_process_about_which_nothing_can_be_told_is_not_taken_for_gone(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = FailingCalls(monkeypatch, f"/proc/{start().pid}/")
    calls.fail(0, errno.ENFILE)
    with pytest.raises(OSError, match="Too many open files"):
        await_end(WANTED, 0)
    assert not await_end(WANTED, 0)
    assert kill(WANTED)
