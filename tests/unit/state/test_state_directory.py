"""What others do to the state directory: memory is written again, no second agent gets in, odd files are left alone."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import stat
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from podagent.decide import room
from podagent.errors import StoreError, TooManyRecords
from podagent.foreign import printable
from podagent.model import Phase, Record
from podagent.state import recordfile
from podagent.state.directory import StateDirectory
from podagent.state.store import Store
from unit.factory import key, record
from unit.stores import store_in

RED, GREEN = record("red"), record("green", sequence=2)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def store(directory: Path) -> Iterator[Store]:
    """It has two records."""
    with closing(store_in(directory)) as store:
        store.put(RED)
        store.put(GREEN)
        yield store


def on_disk(directory: Path) -> list[Record]:
    """The records of the files, in order."""
    found = [recordfile.decode(path.read_bytes()) for path in (directory / "attachments").glob("*.json")]
    return sorted(found, key=lambda each: each.sequence)


def in_memory(store: Store) -> list[Record]:
    return sorted(store.all(), key=lambda each: each.sequence)


def assert_private(directory: Path) -> None:
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700


# --- removed, replaced


def removed(directory: Path) -> None:
    shutil.rmtree(directory)


def renamed(directory: Path) -> None:
    directory.rename(directory.with_name("renamed"))


def replaced(directory: Path) -> None:
    """As a file system mounted over it, which has no files yet."""
    renamed(directory)
    directory.mkdir(mode=0o755)


def attachments_removed(directory: Path) -> None:
    shutil.rmtree(directory / "attachments")


def attachments_replaced(directory: Path) -> None:
    attachments_removed(directory)
    (directory / "attachments").mkdir()


def lock_removed(directory: Path) -> None:
    (directory / "lock").unlink()


LOSSES = [removed, renamed, replaced, attachments_removed, attachments_replaced, lock_removed]
Loss = Callable[[Path], None]


@pytest.mark.parametrize("lose", LOSSES)
def test_the_comparison_writes_all_records_again_and_one_warning_names_the_directory(
    store: Store, directory: Path, lose: Loss, caplog: pytest.LogCaptureFixture
) -> None:
    lose(directory)
    store.repair()
    store.repair()
    assert on_disk(directory) == in_memory(store) == [RED, GREEN]
    assert_private(directory)
    assert store.trouble == ""
    (reported,) = caplog.messages
    assert (str(directory) in reported, "2 records were written again" in reported) == (True, True)


@pytest.mark.parametrize("lose", LOSSES)
@pytest.mark.parametrize("change", [Store.put, Store.keep])
def test_a_write_notices_before_it_writes(
    store: Store, directory: Path, lose: Loss, change: Callable[[Store, Record], None]
) -> None:
    lose(directory)
    changed = GREEN._replace(phase=Phase.DETACHING)
    change(store, changed)
    assert on_disk(directory) == in_memory(store) == [RED, changed]


@pytest.mark.parametrize("lose", LOSSES)
def test_a_removed_record_does_not_come_back_with_the_directory(store: Store, directory: Path, lose: Loss) -> None:
    lose(directory)
    store.remove(GREEN)
    store.repair()
    assert on_disk(directory) == in_memory(store) == [RED]


def test_files_of_records_that_are_missing_cut_short_or_not_files_are_written_again(
    store: Store, directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def cut_short(path: Path) -> None:
        os.truncate(path, 0)

    def made_a_fifo(path: Path) -> None:
        path.unlink()
        os.mkfifo(path)

    for spoil in (Path.unlink, cut_short, made_a_fifo):
        caplog.clear()
        spoil(next((directory / "attachments").iterdir()))
        store.repair()
        store.repair()
        assert on_disk(directory) == [RED, GREEN]
        (reported,) = caplog.messages
        assert f"{directory}: 1 records were missing or changed" in reported
    assert [stat.S_ISFIFO(path.stat().st_mode) for path in (directory / "corrupt").iterdir()] == [True]


def test_records_in_a_directory_that_takes_its_place_are_learned_but_those_of_memory_count(
    store: Store, directory: Path
) -> None:
    shutil.copytree(directory, directory.with_name("older"))
    newer, blue = RED._replace(boot_id="boot-2"), record("blue", "another", sequence=3)
    store.put(newer)
    store.put(blue)
    store.remove(blue)
    store.remove(GREEN)
    removed(directory)
    directory.with_name("older").rename(directory)
    store.put(blue)
    assert on_disk(directory) == in_memory(store) == [newer, GREEN, blue]


def test_the_other_files_of_the_directory_are_written_again_too(store: Store, directory: Path) -> None:
    store.close()
    with closing(Store(StateDirectory(directory, directory.parent / "locks"), (directory / "other").touch)) as store:
        store.load()
        assert not (directory / "other").exists()
        removed(directory)
        store.put(RED)
        assert (directory / "other").exists()


# --- where it cannot be made again


def test_without_a_directory_nothing_new_is_recorded_what_is_in_memory_can_go_and_it_comes_back_by_itself(
    store: Store, directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    removed(directory)
    directory.touch()
    for _ in range(2):
        with pytest.raises(StoreError, match=str(directory)):
            store.put(record("blue", sequence=3))
    leaving = RED._replace(phase=Phase.DETACHING)
    store.keep(leaving)
    store.repair()
    assert str(directory) in store.trouble
    assert len(caplog.messages) == 1
    assert in_memory(store) == [leaving, GREEN]
    store.remove(leaving)
    assert in_memory(store) == [GREEN]
    directory.unlink()
    store.repair()
    assert on_disk(directory) == [GREEN]
    assert store.trouble == ""


def test_a_phase_that_could_not_be_written_is_written_later(store: Store, directory: Path) -> None:
    attachments, corrupt = directory / "attachments", directory / "corrupt"
    for path in attachments.iterdir():
        path.unlink()
        path.mkdir()
    corrupt.rmdir()
    corrupt.touch()
    leaving = RED._replace(phase=Phase.DETACHING)
    store.keep(leaving)
    store.repair()
    assert "cannot write" in store.trouble
    assert in_memory(store) == [leaving, GREEN]
    corrupt.unlink()
    corrupt.mkdir()
    store.repair()
    assert (on_disk(directory), store.trouble) == ([leaving, GREEN], "")


# --- a full disk


@pytest.fixture
def full_disk(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing fits but what the reserve has room for. Returns the reserve."""
    reserve, fsync = directory / "reserve", os.fsync

    def fail_while_it_is_there(fd: int) -> None:
        if reserve.exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(fd)

    monkeypatch.setattr(os, "fsync", fail_while_it_is_there)
    return reserve


def test_on_a_full_disk_a_record_is_rewritten_in_the_reserve_and_none_is_added(
    store: Store, directory: Path, full_disk: Path
) -> None:
    with pytest.raises(StoreError, match="No space left"):
        store.put(record("blue", sequence=3))
    assert full_disk.exists()
    leaving = RED._replace(phase=Phase.DETACHING)
    store.keep(leaving)
    assert not full_disk.exists()
    assert on_disk(directory) == [leaving, GREEN]


def test_the_reserve_is_filled_again(store: Store, directory: Path) -> None:
    (directory / "reserve").unlink()
    store.repair()
    assert (directory / "reserve").stat().st_blocks > 0


# --- a second agent


def nothing_done(directory: Path) -> None:
    """The directory is as the first agent made it."""


@pytest.mark.parametrize("lose", [nothing_done, *LOSSES])
def test_a_second_agent_is_refused_before_and_after_the_first_one_notices(
    store: Store, directory: Path, lose: Loss
) -> None:
    lose(directory)
    for repair in (False, True):
        if repair:
            store.repair()
        with pytest.raises(StoreError, match=r"in use by another podagent.*--state-dir"):
            store_in(directory)
    assert on_disk(directory) == in_memory(store) == [RED, GREEN]


@pytest.mark.parametrize("repaired", [False, True])
def test_a_second_agent_is_refused_under_another_name_of_the_directory(
    store: Store, directory: Path, tmp_path: Path, repaired: bool
) -> None:
    (tmp_path / "link").symlink_to(directory)
    with pytest.raises(StoreError, match="in use by another podagent"):
        store_in(tmp_path / "link")
    renamed(directory)
    if repaired:
        store.repair()
    with pytest.raises(StoreError, match="in use by another podagent"):
        store_in(tmp_path / "renamed")


def test_the_first_agent_leaves_the_directory_to_another_one_that_has_it(directory: Path, tmp_path: Path) -> None:
    """Someone removed both locks, and a second agent started before the first one noticed."""
    with ExitStack() as stores:
        first = stores.enter_context(closing(store_in(directory)))
        first.put(RED)
        removed(directory)
        shutil.rmtree(tmp_path / "locks")
        second = stores.enter_context(closing(store_in(directory)))
        with pytest.raises(StoreError, match="in use by another podagent"):
            first.put(GREEN)
        assert "in use by another podagent" in first.trouble
        second.put(GREEN)
        assert on_disk(directory) == [GREEN]


def test_the_next_agent_gets_in_and_plugins_inherit_no_descriptor(store: Store, directory: Path) -> None:
    removed(directory)
    store.repair()
    listed = subprocess.run(["ls", "-l", "/proc/self/fd"], capture_output=True, check=True, text=True, close_fds=False)
    assert str(directory.parent) not in listed.stdout
    store.close()
    with closing(store_in(directory)) as following:
        assert in_memory(following) == [RED, GREEN]


def test_a_state_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "state"):
        with pytest.raises(StoreError, match=str(place)):
            Store(StateDirectory(place, tmp_path / "locks"))


# --- odd files


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"/proc/self/fd/{os.open(path.parent, os.O_PATH)}/{path.name}")


def make_large(path: Path) -> None:
    path.touch()
    os.truncate(path, 1 << 30)


def make_text(path: Path) -> None:
    path.write_text("hands off")


NAME = f"{'0' * 40}.json"
ODD: list[tuple[str, Callable[[Path], object], str]] = [
    (NAME, Path.mkdir, "a directory"),
    (NAME, os.mkfifo, "a FIFO"),
    (NAME, make_socket, "a socket"),
    (NAME, lambda path: path.symlink_to("/etc/passwd"), "a symbolic link"),
    (NAME, make_large, "it has 1024 MiB"),
    ("x.json", os.mkfifo, "its name"),
    ("x.json", make_text, "its name"),
    ("x.new", Path.mkdir, "its name"),
    (f"{'0' * 40}.new", Path.mkdir, "its name"),
    (os.fsdecode(b"\xff.json"), make_text, "its name"),
    ("README", make_text, "its name"),
]


@pytest.mark.parametrize(("name", "make", "why"), ODD)
def test_an_odd_file_is_left_alone_and_reported_once_and_the_records_serve(
    store: Store, directory: Path, name: str, make: Callable[[Path], object], why: str, caplog: pytest.LogCaptureFixture
) -> None:
    odd = directory / "attachments" / name
    make(odd)
    before = odd.lstat()
    store.close()
    with closing(store_in(directory)) as following:
        assert in_memory(following) == [RED, GREEN]
        (reported,) = caplog.messages
        assert reported.startswith(f"{printable(str(odd))} is not used as a record, and is left as it is: ")
        assert why in reported
        following.put(record("blue", sequence=3))
        lock_removed(directory)
        following.repair()  # reads the directory once more
        assert sum(why in each for each in caplog.messages) == 1
    assert os.path.samestat(odd.lstat(), before)


def test_rests_of_writes_that_were_cut_short_are_cleared_away(store: Store, directory: Path) -> None:
    paths = sorted((directory / "attachments").iterdir())
    for rest in (paths[0].with_suffix(".new"), paths[1].with_suffix(".abc123.new")):
        rest.write_bytes(b'{"schema":1,"sha')
    store.close()
    with closing(store_in(directory)):
        assert sorted((directory / "attachments").iterdir()) == paths


# --- bounds


def test_a_pod_with_too_many_records_gets_no_more_until_one_goes_and_keeps_what_it_has(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "OF_POD", room.Used(2, 1 << 20))
    blue = record("blue", sequence=3)
    with pytest.raises(TooManyRecords, match="pod default/web has 2 attachments"):
        store.put(blue)
    store.put(record("blue", "another"))
    store.put(RED._replace(phase=Phase.DETACHING, result={"large": "x" * (2 << 20)}))
    store.remove(RED)
    store.put(blue)
    assert {each.attachment.network for each in store.of(key())} == {"green", "blue"}
