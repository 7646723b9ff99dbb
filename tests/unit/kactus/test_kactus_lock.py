from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lab.processes import is_alive
from lab.waiting import eventually
from podagent.errors import HostUnavailable
from podagent.kactus.failure import Failure
from podagent.kactus.lock import MARK, ContainerLock, end_delegates
from podagent.kactus.state import SavedDelegates

SOURCE = Path(__file__).resolve().parents[3] / "src"
DELEGATE = {MARK: "c1", "CNI_COMMAND": "ADD"}
HOLD = f"""
import sys; sys.path.insert(0, {str(SOURCE)!r})
from podagent.kactus.state import SavedDelegates
with SavedDelegates(sys.argv[1], "c1"):
    print("held", flush=True)
    sys.stdin.read()
"""


def hold(cni_dir: Path, patience_s: float = 60.0) -> SavedDelegates:
    return SavedDelegates(str(cni_dir), "c1", patience_s)


def files(cni_dir: Path) -> list[str]:
    return sorted(str(path.relative_to(cni_dir)) for path in cni_dir.rglob("*") if not path.is_dir())


def another_call(cni_dir: Path) -> subprocess.Popen[str]:
    """Another process that holds the container until its input ends."""
    python = [sys.executable, "-I", "-S", "-c", HOLD, str(cni_dir)]
    call = subprocess.Popen(python, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert call.stdout is not None
    assert call.stdout.readline() == "held\n"
    return call


@pytest.fixture
def after_a_killed_call(cni_dir: Path) -> Path:
    """The directory of a call that was killed while it was writing."""
    call = another_call(cni_dir)
    (cni_dir / ".locks" / ".c1.new").write_text("[half")
    call.kill()
    call.communicate(timeout=30)
    return cni_dir


def delegate_at_work(script: str, *arguments: str) -> subprocess.Popen[bytes]:
    """A delegate of the container that runs the shell script; it has begun to, so that its environment can be read."""
    command = ["/bin/sh", "-c", f"echo; {script}", *arguments]
    delegate = subprocess.Popen(command, env=DELEGATE, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert delegate.stdout is not None
    delegate.stdout.readline()
    return delegate


def test_the_lock_leaves_no_file_behind_and_holds_no_other_container_up(cni_dir: Path) -> None:
    with hold(cni_dir), SavedDelegates(str(cni_dir), "other", patience_s=0):
        assert files(cni_dir) == [".locks/c1", ".locks/other"]
    assert files(cni_dir) == []


def test_calls_at_once_keep_the_delegates_of_each_other(cni_dir: Path) -> None:
    def call(number: int) -> None:
        for turn in range(10):
            with hold(cni_dir) as saved:
                saved.put({"type": "bridge", "networkName": f"{number}-{turn}"})

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(call, range(4)))  # raises the error of a call, if there was one
    with hold(cni_dir, 0) as saved:
        assert len(saved.delegates) == 40


def test_a_call_that_waits_too_long_is_to_come_again_and_leaves_the_lock_to_its_holder(cni_dir: Path) -> None:
    holder = another_call(cni_dir)
    for _ in range(3):
        with pytest.raises(Failure, match="takes too long") as caught, hold(cni_dir, 0.02):
            pass
        assert caught.value.code == 11
    holder.communicate("", timeout=30)
    with hold(cni_dir, 0):
        pass


def test_a_lock_whose_file_was_removed_holds_nobody_off_and_is_taken_again(cni_dir: Path) -> None:
    first = hold(cni_dir)
    first.__enter__()
    (cni_dir / ".locks" / "c1").unlink()  # as a holder before would, between its unlink and our flock
    with hold(cni_dir, 0):
        pass
    first.__exit__(None, None, None)


def test_a_killed_call_frees_its_container_and_its_half_written_file_is_removed(after_a_killed_call: Path) -> None:
    with hold(after_a_killed_call, 0):
        assert files(after_a_killed_call) == [".locks/c1"]


def test_the_delegate_of_a_killed_call_is_waited_for(after_a_killed_call: Path) -> None:
    def next_call() -> None:
        with hold(after_a_killed_call):
            pass

    def is_waiting_for_orphans() -> bool:
        """Whether the lock is taken again, and so the delegates of the killed call are looked for."""
        inode = (after_a_killed_call / ".locks" / "c1").stat().st_ino
        return any(line.split()[5].endswith(f":{inode}") for line in Path("/proc/locks").read_text().splitlines())

    done = after_a_killed_call / "done"
    delegate = delegate_at_work("read line; echo done > $0", str(done))
    (thread := threading.Thread(target=next_call)).start()
    eventually(is_waiting_for_orphans, 10)
    assert thread.is_alive()
    delegate.communicate(b"\n", timeout=30)
    thread.join(30)
    assert files(after_a_killed_call) == ["done"]


def test_a_daemon_that_a_delegate_leaves_behind_is_neither_waited_for_nor_ended(after_a_killed_call: Path) -> None:
    daemon = subprocess.Popen(["/bin/sleep", "60"], env=DELEGATE, stdout=subprocess.DEVNULL)
    try:
        with hold(after_a_killed_call, 0):
            assert is_alive(daemon.pid)
    finally:
        daemon.kill()
        daemon.wait()


def test_a_delegate_that_does_not_come_to_an_end_is_killed() -> None:
    with delegate_at_work("read line") as delegate:
        assert end_delegates("c1", patience_s=0.02)
        assert delegate.wait(10) == -9


def test_a_delegate_that_cannot_be_ended_holds_every_call_off(tmp_path: Path) -> None:
    def unknown(container_id: str) -> bool:
        raise HostUnavailable("too many open files")

    def taken(*, ended: bool | None) -> bool:
        end = unknown if ended is None else lambda container_id: bool(ended)
        lock = ContainerLock(str(tmp_path), "c1", end_delegates=end)
        try:
            return lock.acquire()
        finally:
            lock.release()

    (tmp_path / "c1").write_text("7\n")
    for ended, fault in ((False, "cannot be killed"), (None, "too many open files"), (False, "cannot be killed")):
        with pytest.raises(Failure, match=fault) as caught:
            taken(ended=ended)
        assert caught.value.code == 11
    assert taken(ended=True)
    assert not taken(ended=True)
