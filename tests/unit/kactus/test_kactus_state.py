from __future__ import annotations

import json
import os
import resource
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.processes import is_alive
from lab.waiting import eventually
from podagent.decide.dialects.kaloom_names import interface_name
from podagent.foreign import Json
from podagent.kactus.delegates import ifname_of
from podagent.kactus.failure import Failure
from podagent.kactus.lock import MARK, ContainerLock, end_delegates
from podagent.kactus.log import setup
from podagent.kactus.state import ADDING, DEFINITION, IFNAME, SavedDelegates, containers, identity

ID = "c" * 64
SOURCE = Path(__file__).resolve().parents[3] / "src"
IPAM: Json = {"type": "host-local", "subnet": "10.1.0.0/16"}
DATA: Json = {
    "cniVersion": "0.3.1", "name": "data", "type": "bridge", "bridge": "data-br", "ipam": IPAM, "networkName": "data",
}  # fmt: skip
FLANNEL: Json = {"cniVersion": "0.3.1", "type": "flannel", "masterPlugin": True, "delegate": {"hairpinMode": True}}
PRIMARY: Json = {**DATA, "masterPlugin": True}
DELEGATE = {MARK: ID, "CNI_COMMAND": "ADD"}


def keep(cni_dir: Path, *delegates: Json) -> None:
    with SavedDelegates(str(cni_dir), ID) as saved:
        for delegate in delegates:
            saved.put(delegate)


def kept(cni_dir: Path) -> list[Json]:
    with SavedDelegates(str(cni_dir), ID) as saved:
        return saved.delegates


def files(cni_dir: Path) -> list[str]:
    return sorted(str(path.relative_to(cni_dir)) for path in cni_dir.rglob("*") if not path.is_dir())


def write(cni_dir: Path, content: bytes) -> None:
    cni_dir.mkdir(parents=True, exist_ok=True)
    (cni_dir / ID).write_bytes(content)


def refused(code: int, cni_dir: Path, patience_s: float = 5.0) -> str:
    with pytest.raises(Failure) as caught, SavedDelegates(str(cni_dir), ID, patience_s):
        pass
    assert caught.value.code == code
    return caught.value.message


@pytest.mark.parametrize("master", [FLANNEL, {"type": "flannel", "masterplugin": True}, {"type": "flannel"}, PRIMARY])
def test_a_file_of_kaloom_is_understood(tmp_path: Path, master: Json) -> None:
    write(tmp_path, json.dumps([DATA, master]).encode())
    found = kept(tmp_path)
    assert found == [DATA, master]
    assert [identity(each) for each in found] == ["data", ""]
    assert [ifname_of(each, "eth0") for each in found] == [interface_name("data"), "eth0"]


def test_kaloom_would_understand_the_file(tmp_path: Path) -> None:
    own = {IFNAME: "net8d777f385d3d", ADDING: True, DEFINITION: "default/data", "prevResult": {"cniVersion": "0.3.1"}}
    keep(tmp_path, {**FLANNEL, **own}, {**DATA, **own})
    written = json.loads((tmp_path / ID).read_bytes())
    assert isinstance(written, list)
    for delegate, original in zip(written, (FLANNEL, DATA), strict=True):
        assert delegate.get("networkName") == original.get("networkName")
        more = delegate.keys() - original.keys()
        assert all(key.startswith("kactus") or key == "prevResult" for key in more)
        assert {key: delegate[key] for key in original} == original


def test_a_delegate_takes_the_place_of_the_one_with_its_name(tmp_path: Path) -> None:
    keep(tmp_path, FLANNEL, DATA, {**DATA, "bridge": "other"}, {**FLANNEL, "mtu": 1400})
    assert kept(tmp_path) == [{**FLANNEL, "mtu": 1400}, {**DATA, "bridge": "other"}]


def test_the_file_goes_with_its_last_delegate(tmp_path: Path) -> None:
    keep(tmp_path, FLANNEL, DATA)
    with SavedDelegates(str(tmp_path), ID) as saved:
        saved.drop(DATA)
        assert json.loads((tmp_path / ID).read_bytes()) == [FLANNEL]
        saved.drop(FLANNEL)
    assert files(tmp_path) == []


def test_dropping_what_is_not_kept_is_no_error(tmp_path: Path) -> None:
    with SavedDelegates(str(tmp_path), ID) as saved:
        saved.drop(DATA)
    assert files(tmp_path) == []


def test_only_root_may_read_what_is_kept_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        keep(tmp_path / "kactus", DATA)
    finally:
        os.umask(before)
    modes = [stat.S_IMODE((tmp_path / "kactus" / name).stat().st_mode) for name in ("", ".locks", ID)]
    assert modes == [0o700, 0o700, 0o600]


def test_a_file_is_replaced_never_written_to(tmp_path: Path) -> None:
    keep(tmp_path, DATA)
    with (tmp_path / ID).open("rb") as before:
        keep(tmp_path, FLANNEL)
        assert json.loads(before.read()) == [DATA]


BROKEN = [b"", b"nonsense", b"{}", b"null", b"[null]", b"[[]]", b"[{}]", b'[{"type": ""}]', b'[{"type": ["x"]}]',
          b'[{"type": "bridge"}, 7]', b"\xff\xfe", b"[" * 100_000]  # fmt: skip


@pytest.mark.parametrize("content", BROKEN)
def test_a_file_that_cannot_be_understood_is_set_aside_and_told(tmp_path: Path, content: bytes) -> None:
    cni_dir, log = tmp_path / "kactus", tmp_path / "log"
    write(cni_dir, content)
    setup({"_CNI_LOGGING_FILE": str(log)})
    try:
        assert kept(cni_dir) == []
    finally:
        setup({})
    assert (cni_dir / f".{ID}.unreadable").read_bytes() == content
    assert f"{cni_dir}/.{ID}.unreadable" in log.read_text()
    assert containers(str(cni_dir)) == []


@pytest.mark.parametrize("name", [ID, f".locks/{ID}"])
def test_a_link_that_leads_elsewhere_is_not_followed(tmp_path: Path, name: str) -> None:
    victim = tmp_path / "victim"
    victim.write_text(json.dumps([DATA]))
    link = tmp_path / "kactus" / name
    link.parent.mkdir(parents=True)
    link.symlink_to(victim)
    refused(5, tmp_path / "kactus")
    assert victim.read_text() == json.dumps([DATA])


def test_a_link_in_the_place_of_the_new_file_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "kactus" / ".locks").mkdir(parents=True)
    (tmp_path / "kactus" / ".locks" / f".{ID}.new").symlink_to(victim)
    with pytest.raises(Failure, match="cannot write"):
        keep(tmp_path / "kactus", DATA)
    assert victim.read_text() == "precious"


def test_a_pipe_in_the_place_of_the_file_holds_nobody_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ID)
    assert kept(tmp_path) == []


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert str(tmp_path / "file") in refused(5, tmp_path / "file" / "kactus")


def test_only_files_that_may_be_a_containers_are_containers(tmp_path: Path) -> None:
    keep(tmp_path, DATA)
    (tmp_path / "directory").mkdir()
    (tmp_path / ".hidden").write_text("[]")
    (tmp_path / "no name").write_text("[]")
    assert containers(str(tmp_path)) == [ID]
    assert containers(str(tmp_path / "nowhere")) == []


def test_the_longest_container_id_has_room_for_every_file(tmp_path: Path) -> None:
    with SavedDelegates(str(tmp_path), "x" * 240) as saved:
        saved.put(DATA)
    (tmp_path / ("x" * 240)).write_text("broken")
    with SavedDelegates(str(tmp_path), "x" * 240) as saved:
        assert saved.delegates == []


def test_a_directory_that_cannot_be_listed_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Failure, match=f"cannot list {tmp_path}/file: Not a directory") as caught:
        containers(str(tmp_path / "file"))
    assert caught.value.code == 5


@pytest.fixture
def small_disk() -> Iterator[None]:
    """Where a file can have 100 bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("small_disk")
def test_a_full_disk_leaves_what_was_kept_before(tmp_path: Path) -> None:
    keep(tmp_path, {"type": "bridge"})
    with SavedDelegates(str(tmp_path), ID) as saved:
        with pytest.raises(Failure, match="cannot write") as caught:
            saved.put(DATA)
        assert (caught.value.code, saved.delegates) == (5, [{"type": "bridge"}])
    assert kept(tmp_path) == [{"type": "bridge"}]
    assert files(tmp_path) == [ID]


# --- the lock -------------------------------------------------------------------------------------------------------


def another_call(cni_dir: Path, body: str) -> subprocess.Popen[str]:
    """Another process that holds the container; it prints a line when it does, and then waits for its input to end."""
    script = (
        f"import sys; sys.path.insert(0, {str(SOURCE)!r})\nfrom podagent.kactus.state import SavedDelegates\n{body}"
    )
    python = [sys.executable, "-I", "-c", script, str(cni_dir), ID]
    return subprocess.Popen(python, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


HOLD = """
with SavedDelegates(sys.argv[1], sys.argv[2]):
    print("held", flush=True)
    sys.stdin.read()
"""
COUNT = """
from pathlib import Path
counter = Path(sys.argv[1]).parent / "counter"
for _ in range(40):
    with SavedDelegates(sys.argv[1], sys.argv[2]):
        counter.write_text(str(int(counter.read_text()) + 1))
"""


def held_by_another(cni_dir: Path) -> subprocess.Popen[str]:
    holder = another_call(cni_dir, HOLD)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    return holder


def let_go(holder: subprocess.Popen[str]) -> None:
    holder.communicate("", timeout=30)


def test_the_lock_leaves_no_file_behind(tmp_path: Path) -> None:
    with SavedDelegates(str(tmp_path), ID):
        assert files(tmp_path) == [f".locks/{ID}"]
    assert files(tmp_path) == []


def test_a_container_is_held_by_one_call_at_a_time(tmp_path: Path) -> None:
    (tmp_path / "counter").write_text("0")
    calls = [another_call(tmp_path / "kactus", COUNT) for _ in range(4)]
    for call in calls:
        let_go(call)
    assert (tmp_path / "counter").read_text() == "160"
    assert files(tmp_path / "kactus") == []


def test_threads_exclude_each_other_too(tmp_path: Path) -> None:
    inside: list[int] = []
    worst: list[int] = []

    def work() -> None:
        for _ in range(20):
            with SavedDelegates(str(tmp_path), ID):
                inside.append(1)
                worst.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert (max(worst), len(worst)) == (1, 80)


def test_another_container_is_not_held_up(tmp_path: Path) -> None:
    with SavedDelegates(str(tmp_path), ID), SavedDelegates(str(tmp_path), "other", patience_s=0):
        pass


def test_who_waits_too_long_is_to_try_again_later_and_leaves_the_lock_to_its_holder(tmp_path: Path) -> None:
    holder = held_by_another(tmp_path)
    for _ in range(3):
        assert "takes too long" in refused(11, tmp_path, patience_s=0.05)
    let_go(holder)
    assert kept(tmp_path) == []


def test_what_the_holder_wrote_is_what_the_next_one_reads(tmp_path: Path) -> None:
    entered = threading.Event()
    seen: list[Any] = []

    def next_one() -> None:
        entered.set()
        seen.append(kept(tmp_path))

    with SavedDelegates(str(tmp_path), ID) as saved:
        thread = threading.Thread(target=next_one)
        thread.start()
        entered.wait(10)
        saved.put(DATA)
    thread.join(30)
    assert seen == [[DATA]]


def test_a_lock_whose_file_was_removed_holds_nobody_off_and_is_taken_again(tmp_path: Path) -> None:
    first = SavedDelegates(str(tmp_path), ID)
    first.__enter__()
    (tmp_path / ".locks" / ID).unlink()  # as a holder before would, between its unlink and our flock
    with SavedDelegates(str(tmp_path), ID, patience_s=0):
        pass
    first.__exit__(None, None, None)


def test_a_killed_call_frees_its_container_and_what_it_was_writing_is_gone(tmp_path: Path) -> None:
    keep(tmp_path, DATA)
    holder = held_by_another(tmp_path)
    (tmp_path / ".locks" / f".{ID}.new").write_text("[half")
    holder.kill()
    let_go(holder)
    assert kept(tmp_path) == [DATA]
    assert files(tmp_path) == [ID]


def delegate_at_work(script: str, *arguments: str) -> subprocess.Popen[bytes]:
    """A delegate of the container that runs the shell script; it has begun to, so that its environment can be read."""
    command = ["/bin/sh", "-c", f"echo; {script}", *arguments]
    delegate = subprocess.Popen(command, env=DELEGATE, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert delegate.stdout is not None
    delegate.stdout.readline()
    return delegate


def test_the_delegate_of_a_killed_call_is_waited_for(tmp_path: Path) -> None:
    holder = held_by_another(tmp_path)
    holder.kill()
    let_go(holder)
    delegate = delegate_at_work("read line; echo done > $0", str(tmp_path / "done"))
    (next_one := threading.Thread(target=kept, args=(tmp_path,))).start()
    eventually(lambda: is_waiting_for_orphans(tmp_path), 10)
    assert next_one.is_alive()
    delegate.communicate(b"\n", timeout=30)
    next_one.join(30)
    assert (tmp_path / "done").exists()
    assert files(tmp_path) == ["done"]


def test_a_delegate_that_does_not_come_to_an_end_is_killed() -> None:
    with delegate_at_work("read line") as delegate:
        assert end_delegates(ID, patience_s=0.05)
        assert delegate.wait(10) == -9


def test_a_delegate_that_cannot_be_ended_holds_every_call_off(tmp_path: Path) -> None:
    def taken(*, ended: bool) -> bool:
        lock = ContainerLock(str(tmp_path), ID, end_delegates=lambda container_id: ended)
        try:
            return lock.acquire()
        finally:
            lock.release()

    (tmp_path / ID).write_text("7\n")
    for _ in range(2):
        with pytest.raises(Failure, match="cannot be ended") as caught:
            taken(ended=False)
        assert caught.value.code == 11
    assert taken(ended=True)
    assert not taken(ended=True)


def is_waiting_for_orphans(cni_dir: Path) -> bool:
    """Whether the lock is taken again, and so the delegates of the killed call are looked for."""
    inode = (cni_dir / ".locks" / ID).stat().st_ino
    return any(line.split()[5].endswith(f":{inode}") for line in Path("/proc/locks").read_text().splitlines())


def test_what_a_delegate_leaves_behind_on_purpose_is_neither_waited_for_nor_ended(tmp_path: Path) -> None:
    holder = held_by_another(tmp_path)
    holder.kill()
    let_go(holder)
    daemon = subprocess.Popen(["/bin/sleep", "60"], env=DELEGATE, stdout=subprocess.DEVNULL)
    try:
        assert kept(tmp_path) == []
        assert is_alive(daemon.pid)
    finally:
        daemon.kill()
        daemon.wait()
