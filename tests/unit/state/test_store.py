"""The records on disk: atomic, private, never fatal, never lost, owned by one agent."""

from __future__ import annotations

import errno
import logging
import os
import resource
import stat
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from podagent.errors import StoreError, UnknownSchema
from podagent.model import Phase, PodKey, Record
from podagent.state import recordfile
from podagent.state.directory import StateDirectory
from podagent.state.store import Store
from unit.factory import key, nest, record
from unit.stores import store_in

Reopen = Callable[[], Store]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "var" / "state"


@pytest.fixture
def reopen(directory: Path) -> Iterator[Reopen]:
    """Opens the store as the next process would: the one before has ended, and its lock with it."""
    opened: list[Store] = []

    def make() -> Store:
        end(opened)
        opened.append(Store(StateDirectory(directory, directory.parent / "locks")))
        opened[-1].load()
        return opened[-1]

    yield make
    end(opened)


def end(stores: list[Store]) -> None:
    while stores:
        stores.pop().close()


def everything(store: Store) -> list[Record]:
    return sorted((each for pod in store.pods() for each in store.of(pod)), key=lambda each: each.sequence)


def the_file(directory: Path) -> Path:
    """The file of the only record."""
    (path,) = files(directory)
    return path


def files(directory: Path) -> list[Path]:
    return sorted((directory / "attachments").iterdir())


def set_aside(directory: Path) -> list[bytes]:
    return sorted(path.read_bytes() for path in (directory / "corrupt").iterdir())


def test_records_are_there_after_a_restart(reopen: Reopen) -> None:
    kept = [record("red", "a"), record("green", "a", sequence=2), record("red", "b", sequence=3)]
    store = reopen()
    assert (len(store), store.pods(), store.of(key("a"))) == (0, [], [])
    for each in kept:
        store.put(each)
    assert everything(store) == kept
    store = reopen()
    assert everything(store) == kept
    assert (len(store), sorted(pod.uid for pod in store.pods())) == (3, ["a", "b"])
    assert [each.attachment.network for each in store.of(key("b"))] == ["red"]
    assert store.next_sequence() == 4


def test_a_record_replaces_the_one_of_the_same_interface_and_a_removed_one_stays_away(
    reopen: Reopen, directory: Path
) -> None:
    store = reopen()
    store.put(record("red", phase=Phase.ATTACHING))
    store.put(record("red"))
    assert everything(store) == everything(reopen()) == [record("red")]
    assert len(files(directory)) == 1
    store = reopen()
    store.put(record("green", sequence=2))
    store.remove(record("red"))
    store.remove(record("red"))
    assert everything(store) == everything(reopen()) == [record("green", sequence=2)]
    reopen().remove(record("green"))
    assert (reopen().pods(), files(directory)) == ([], [])


def test_threads_write_records_of_different_pods_at_once_and_share_no_sequence_number(reopen: Reopen) -> None:
    store = reopen()
    given: list[int] = []

    def live(uid: str) -> None:
        for number in range(20):
            store.put(record("red", uid, sequence=number))
            store.put(record("green", uid, sequence=number))
            store.remove(record("green", uid))
        given.extend(store.next_sequence() for _ in range(500))

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(live, "abcdefgh"))
    assert len(store) == len(reopen()) == 8
    assert {each.attachment.network for each in everything(store)} == {"red"}
    assert sorted(given) == list(range(1, 4001))


def test_directories_and_files_are_for_their_owner_only_also_where_they_were_open(
    reopen: Reopen, directory: Path
) -> None:
    directory.mkdir(mode=0o755, parents=True)
    before = os.umask(0)
    try:
        reopen().put(record("red"))
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in [directory, *directory.rglob("*")]}
    assert {modes.pop(name) for name in ("state", "attachments", "corrupt")} == {0o700}
    assert set(modes.values()) == {0o600}


def test_a_record_is_complete_on_disk_at_every_moment(reopen: Reopen, directory: Path) -> None:
    store = reopen()
    store.put(record("red"))
    path = the_file(directory)
    done, broken = threading.Event(), []

    def read() -> None:
        try:
            while not done.is_set():
                recordfile.decode(path.read_bytes())
        except (StoreError, OSError) as error:
            broken.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(200):
        store.put(record("red", sequence=number, boot_id="x" * (number * 37 % 5000)))
    done.set()
    reader.join()
    assert broken == []


def test_the_rest_of_a_write_that_was_cut_short_is_cleared_away_and_an_operators_files_stay(
    reopen: Reopen, directory: Path
) -> None:
    reopen().put(record("red"))
    path = the_file(directory)
    path.with_suffix(".new").write_bytes(b'{"schema":1,"sha')
    (directory / "attachments" / "README").write_text("hands off")
    (directory / "attachments" / "backup").mkdir()
    store = reopen()
    assert everything(store) == [record("red")]
    assert files(directory) == sorted([path, *(directory / "attachments" / name for name in ("README", "backup"))])
    assert set_aside(directory) == []
    store.put(record("red", sequence=2))
    assert everything(reopen()) == [record("red", sequence=2)]


HOSTILE = ["../../../../etc/x", "/etc/passwd", "..", "", "a" * 5000, "\0", "a\0b", "\n", "\ud800", "x.json", "é/../.."]


@pytest.mark.parametrize("text", HOSTILE)
def test_no_string_from_outside_becomes_a_file_name(reopen: Reopen, directory: Path, text: str) -> None:
    hostile = record("red", pod=PodKey(text, text, text), sandbox_id=text, ifname=text)
    reopen().put(hostile)
    found = [path for path in directory.parents[1].rglob("*") if path.is_file()]
    assert sorted(path.parent.name for path in found) == ["attachments", "locks", "state", "state"]
    path = the_file(directory)
    assert path.name.removesuffix(".json").isalnum()
    assert len(path.name) < 64
    assert everything(reopen()) == [hostile]
    reopen().remove(hostile)
    assert files(directory) == []


names = st.text(st.characters(), max_size=20)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(names, names), min_size=1, max_size=6, unique=True))
@example([("ab", "c"), ("a", "bc")])
def test_any_records_survive_a_restart(tmp_path_factory: pytest.TempPathFactory, keys: list[tuple[str, str]]) -> None:
    directory = tmp_path_factory.mktemp("state")
    made = [record("red", uid, ifname=ifname, sequence=number) for number, (uid, ifname) in enumerate(keys, 1)]
    store = store_in(directory)
    for each in made:
        store.put(each)
    store.close()
    store = store_in(directory)
    assert everything(store) == made
    store.close()


def test_unusable_records_are_set_aside_kept_and_reported_and_the_others_serve(
    reopen: Reopen, directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    store = reopen()
    store.put(record("red"))
    path = the_file(directory)
    store.put(record("green", sequence=2))
    unusable = [b"first", path.read_bytes().replace(b'"ATTACHED"', b'"ATTACHING"'), b"third"]
    for number, content in enumerate(unusable, 1):
        path.write_bytes(content)
        store = reopen()
        assert everything(store) == [record("green", sequence=2)]
        assert set_aside(directory) == sorted(unusable[:number])
        assert path.name in caplog.text
        assert str(directory / "corrupt") in caplog.text
        caplog.clear()
        store = reopen()
        assert caplog.text == ""
        store.put(record("red", sequence=3))
        assert len(reopen()) == 2


def test_a_copied_record_is_not_taken_for_a_second_one(reopen: Reopen, directory: Path) -> None:
    reopen().put(record("red"))
    path = the_file(directory)
    (directory / "attachments" / f"{'0' * 40}.json").write_bytes(path.read_bytes())
    assert everything(reopen()) == [record("red")]
    assert len(set_aside(directory)) == 1


@pytest.fixture
def too_new(reopen: Reopen, directory: Path) -> Path:
    """The record of `red`, in a form that this version cannot read; that of `green` is of today."""
    store = reopen()
    store.put(record("red"))
    path = the_file(directory)
    store.put(record("green", sequence=2))
    path.write_bytes(path.read_bytes().replace(b'"schema":1', b'"schema":2'))
    return path


def test_a_record_that_only_a_newer_version_can_read_stops_the_start_with_the_remedy_and_stays(
    reopen: Reopen, directory: Path, too_new: Path
) -> None:
    content = too_new.read_bytes()
    for _ in range(2):
        with pytest.raises(UnknownSchema, match="install that version again, or move the file out") as raised:
            reopen()
        assert str(raised.value).startswith(f"{too_new} was written by a newer podagent (schema 2 is not known")
        assert (too_new.read_bytes(), set_aside(directory)) == (content, [])
    too_new.rename(directory / "kept")
    assert everything(reopen()) == [record("green", sequence=2)]
    (directory / "kept").rename(too_new)
    too_new.write_bytes(content.replace(b'"schema":2', b'"schema":1'))
    assert everything(reopen()) == [record("red"), record("green", sequence=2)]


def test_a_write_that_fails_changes_neither_disk_nor_memory_and_names_the_file(reopen: Reopen, directory: Path) -> None:
    store = reopen()
    store.put(record("red"))
    path = the_file(directory)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, limit[1]))  # as a full disk would have it, also for root
    try:
        with pytest.raises(StoreError, match=str(path)) as raised:
            store.put(record("red", sequence=2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert os.strerror(errno.EFBIG) in str(raised.value)
    assert files(directory) == [path]
    assert everything(store) == everything(reopen()) == [record("red")]


@pytest.mark.parametrize("change", [Store.put, Store.remove])
def test_a_directory_in_the_place_of_a_record_is_moved_away_or_else_named(
    reopen: Reopen, directory: Path, change: Callable[[Store, Record], None]
) -> None:
    store = reopen()
    store.put(record("red"))
    path, corrupt = the_file(directory), directory / "corrupt"
    path.unlink()
    path.mkdir()
    corrupt.rmdir()
    corrupt.touch()
    with pytest.raises(StoreError, match=str(path)):
        change(store, record("red", sequence=2))
    assert everything(store) == [record("red")]
    corrupt.unlink()
    corrupt.mkdir()
    change(store, record("red", sequence=2))
    assert (corrupt / path.name).is_dir()
    assert everything(store) == everything(reopen())


def test_a_record_that_cannot_be_written_as_json_is_an_error_of_the_store(reopen: Reopen, directory: Path) -> None:
    store = reopen()
    with pytest.raises(StoreError, match="nested too deeply"):
        store.put(record("red", result={"x": nest(200_000)}))
    assert (everything(store), files(directory)) == ([], [])
