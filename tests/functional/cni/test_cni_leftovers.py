"""Plugins that outlived the agent that started them."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import podagent
from lab.waiting import eventually
from podagent.host.orphans import await_leftovers

SANDBOX, IFNAME = f"sandbox-{uuid.uuid4().hex}", "net0"
ENV = {"CNI_COMMAND": "ADD", "CNI_CONTAINERID": SANDBOX, "CNI_IFNAME": IFNAME, "PATH": os.environ["PATH"]}
Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a shell script as a plugin of `ENV`; it may ``read`` its standard input to wait for the test."""
    processes: list[subprocess.Popen[bytes]] = []

    def begin(script: str, **changed: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            ["/bin/sh", "-c", f"echo; {script}"],
            env={**ENV, **changed},
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


def await_them(timeout_s: float) -> int:
    return await_leftovers(SANDBOX, IFNAME, timeout_s)


def in_background(timeout_s: float) -> threading.Thread:
    thread = threading.Thread(target=await_them, args=(timeout_s,))
    thread.start()
    return thread


def test_with_nothing_left_over_it_returns_at_once() -> None:
    begun = time.monotonic()
    assert await_them(30) == 0
    assert time.monotonic() - begun < 1


def test_waits_until_a_leftover_plugin_has_ended(start: Start) -> None:
    process = start("read x; exit 7")
    thread = in_background(60)
    thread.join(0.3)
    assert thread.is_alive()
    assert process.poll() is None
    process.communicate(b"go on\n")
    thread.join(10)
    assert not thread.is_alive()
    assert process.returncode == 7  # it ended by itself: nobody killed it


def test_waits_for_the_ipam_plugin_that_a_dead_plugin_left_behind(start: Start, tmp_path: Path) -> None:
    start(f"sleep 60 & echo $! > {tmp_path}/pid; exit 0")
    pid = eventually(lambda: (tmp_path / "pid").exists() and int((tmp_path / "pid").read_text() or 0))
    thread = in_background(60)
    thread.join(0.2)
    assert thread.is_alive()
    os.kill(pid, 9)
    thread.join(10)
    assert not thread.is_alive()


def test_kills_a_leftover_plugin_and_its_children_that_outlive_the_bound(start: Start) -> None:
    process = start("trap '' TERM; sleep 60 & sleep 60 & wait")
    assert await_them(0.3) >= 1
    assert process.wait(10) == -9
    assert await_them(0) == 0


@pytest.mark.parametrize("changed", [{"CNI_CONTAINERID": SANDBOX + "2"}, {"CNI_IFNAME": "net01"}, {"CNI_IFNAME": ""}])
def test_plugins_of_other_attachments_are_left_alone(start: Start, changed: dict[str, str]) -> None:
    process = start("read x", **changed)
    assert await_them(0) == 0
    assert process.poll() is None


def test_it_never_waits_for_the_process_it_runs_in_nor_for_that_ones_parents() -> None:
    source = Path(podagent.__file__).parent.parent
    call = f"import sys; sys.path.insert(0, {str(source)!r}); from podagent.host.orphans import await_leftovers as a; "
    call += f"print(a({SANDBOX!r}, {IFNAME!r}, 0))"
    script = f'{sys.executable} -ISc "{call}"; echo alive'
    done = subprocess.run(["/bin/sh", "-c", script], env=ENV, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["0", "alive"]


@pytest.mark.root
def test_a_pods_own_process_cannot_pass_for_a_plugin() -> None:
    assignments = [f"{key}={value}" for key, value in ENV.items()]
    command = ["unshare", "--pid", "--fork", "--kill-child", "env", *assignments, "sh", "-c", "echo; read x"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert await_them(0) == 0
        assert process.poll() is None
        process.communicate()


def test_a_kernel_without_pidfd_does_as_well(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "pidfd_open")
    process = start("read x")
    assert await_them(0.1) == 1
    assert process.wait(10) == -9
