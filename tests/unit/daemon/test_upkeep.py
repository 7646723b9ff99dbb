"""The records are loaded before the pods are followed, and then compared with the disk."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from lab.waiting import eventually
from podagent.daemon.health import Heartbeats
from podagent.daemon.upkeep import Upkeep
from podagent.errors import StoreError
from podagent.state.directory import StateDirectory
from podagent.state.store import Store
from unit.factory import record
from unit.stores import store_in


class Halting(Store):
    """It loads its records when it may."""

    def __init__(self, directory: Path) -> None:
        super().__init__(StateDirectory(directory, directory.parent / "locks"))
        self.may_load = threading.Event()

    def load(self, expect: Callable[[float], None] = lambda _: None) -> None:
        assert self.may_load.wait(10)
        super().load(expect)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    with closing(store_in(tmp_path / "state")) as before:
        before.put(record("red"))
    return tmp_path / "state"


@pytest.fixture
def store(directory: Path) -> Iterator[Halting]:
    with closing(Halting(directory)) as store:
        yield store


@pytest.fixture
def changes() -> list[str]:
    return []


@pytest.fixture
def looks() -> list[bool]:
    """At the node's configuration: whether the records were loaded by then."""
    return []


@pytest.fixture
def upkeep(store: Halting, changes: list[str], looks: list[bool]) -> Upkeep:
    return Upkeep(
        store,
        Heartbeats().register("the state"),
        lambda: changes.append(store.trouble),
        lambda: changes.append("loaded"),
        lambda: None,
        lambda: looks.append(store.loaded),
        period_s=0.01,
    )


def test_the_pods_are_followed_once_the_records_are_loaded(store: Halting, upkeep: Upkeep, changes: list[str]) -> None:
    seen: list[int] = []
    body = upkeep.loading_first(lambda stop: seen.append(len(store)))
    thread = threading.Thread(target=body, args=(threading.Event(),))
    thread.start()
    assert (seen, store.loaded) == ([], False)
    store.may_load.set()
    thread.join(10)
    assert (seen, store.loaded, changes) == ([1], True, ["loaded"])


def test_nothing_is_followed_when_they_cannot_be_loaded(store: Halting, upkeep: Upkeep, directory: Path) -> None:
    shutil.rmtree(directory)
    store.may_load.set()
    with pytest.raises(StoreError, match=str(directory)):
        upkeep.loading_first(lambda stop: pytest.fail("followed"))(threading.Event())


def test_the_nodes_configuration_is_looked_at_from_the_start_on(
    store: Halting, upkeep: Upkeep, looks: list[bool]
) -> None:
    stop = threading.Event()
    thread = threading.Thread(target=upkeep.run, args=(stop,))
    thread.start()
    eventually(lambda: looks == [False])
    store.may_load.set()
    store.load()
    eventually(lambda: len(looks) > 2)
    stop.set()
    thread.join(10)


def test_damage_to_the_directory_is_repaired_and_shown_in_between(
    store: Halting, upkeep: Upkeep, changes: list[str], directory: Path, tmp_path: Path
) -> None:
    stop = threading.Event()
    thread = threading.Thread(target=upkeep.run, args=(stop,))
    thread.start()
    store.may_load.set()
    store.load()
    directory.rename(tmp_path / "first")
    eventually(lambda: list(directory.glob("attachments/*.json")))
    assert changes == []

    def a_file_is_in_the_way() -> bool:
        if directory.is_dir():  # also after it was made again, before the file was there
            directory.rename(tmp_path / f"{time.monotonic_ns()}")
        directory.touch()
        return bool(changes)

    eventually(a_file_is_in_the_way)
    directory.unlink()
    eventually(lambda: changes[-1] == "")
    stop.set()
    thread.join(10)
    assert all(str(directory) in change for change in changes[:-1])
    assert len(list(directory.glob("attachments/*.json"))) == 1
