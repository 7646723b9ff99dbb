"""Packages, machines to install them on, and the check that a test leaves nothing in them.

Machines are costly: the tests of a kind share one. With several workers each kind is one worker's, and what all of them
need is made once.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pickle
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar, cast

import pytest

from lab.links import Links
from packages.bed.host import KINDS, Host
from packages.bed.machine import Machine
from packages.bed.node import Node
from packages.bed.packages import Packages, Say, build
from packages.bed.remote import Remote
from packages.bed.repacking import as_newer, as_released

# With all that a first test may have to make before: images, packages, a machine.
_TEST_SECONDS = 1200
_MEMORY, _ROOM = Path("/dev/shm"), 6 << 30
_PREFIX = "podagent-packaging-"
_IS_WORKER = "PYTEST_XDIST_WORKER" in os.environ
_RUN = os.getppid() if _IS_WORKER else os.getpid()
# That with most tests first: the other worker can do the rest meanwhile.
_KINDS = ("rpm12", "", "deb12", "deb13")
T = TypeVar("T")


@pytest.fixture(scope="session")
def say(request: pytest.FixtureRequest) -> Say:
    """Prints progress: the first test waits long."""
    capture = request.config.pluginmanager.get_plugin("capturemanager")

    def tell(text: str) -> None:
        assert capture
        with capture.global_and_fixture_disabled():
            print(f"\npackages: {text}", file=sys.stderr, flush=True)

    return tell


@pytest.fixture(scope="session")
def disk() -> Path:
    """A directory of this run for what is big and soon gone: in memory if there is enough, for it is a lot to write."""
    in_memory = _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > _ROOM and _free_memory() > _ROOM
    parent = _MEMORY if in_memory else Path(tempfile.gettempdir())
    for left in parent.glob(f"{_PREFIX}*"):
        if not Path("/proc", left.name.removeprefix(_PREFIX)).exists():
            shutil.rmtree(left, ignore_errors=True)  # of a run that was killed
    directory = parent / f"{_PREFIX}{_RUN}"
    directory.mkdir(exist_ok=True)
    return directory


def _free_memory() -> int:
    fields = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    return int(fields["MemAvailable"].split()[0]) * 1024


def pytest_sessionfinish() -> None:
    for parent in () if _IS_WORKER else (_MEMORY, Path(tempfile.gettempdir())):
        shutil.rmtree(parent / f"{_PREFIX}{_RUN}", ignore_errors=True)


def _once(result: Path, make: Callable[[], T]) -> T:
    """What it makes, which is made by the first worker that asks."""
    result.parent.mkdir(exist_ok=True)
    with result.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not result.exists():
            result.write_bytes(pickle.dumps(make()))
        made: T = pickle.loads(result.read_bytes())
        return made


@pytest.fixture(scope="session")
def packages(disk: Path, say: Say) -> Packages:
    return _once(disk / "packages", lambda: build(disk / "sources", disk, say))


@pytest.fixture(scope="session")
def newer_packages(packages: Packages, disk: Path) -> Packages:
    """The version after that one; otherwise the same, but for the settings that it ships."""
    return _once(disk / "newer-packages", lambda: as_newer(packages, disk / "newer"))


@pytest.fixture(scope="session")
def released_packages(packages: Packages, disk: Path) -> Packages:
    """The version that was released before."""
    return _once(disk / "released-packages", lambda: as_released(packages, disk / "released"))


@pytest.fixture(scope="session", params=KINDS)
def booted(request: pytest.FixtureRequest, disk: Path, say: Say) -> Iterator[Machine]:
    image = KINDS[request.param].image
    root = _once(disk / "images" / image.name, lambda: image.unpacked(disk, say))
    machine = Machine(request.param, root, disk)
    try:
        machine.boot()
        yield machine
    finally:
        machine.close()


@pytest.fixture(scope="session")
def host(booted: Machine, packages: Packages) -> Host:
    """A machine that is on; podagent may be installed on it, or not."""
    return Host(booted, KINDS[booted.name], packages)


@pytest.fixture
def node(host: Host) -> Iterator[Node]:
    """The pods and networks of the machine. What the test has left of them must go without a trace."""
    before = host.machine.now()
    with contextlib.closing(Remote(host.machine)) as made:
        yield cast(Node, made)
        print("\n".join(host.service.lines(since=before)))


@pytest.fixture
def installed(host: Host, node: Node) -> Iterator[Host]:
    """podagent is installed in the version under test, as shipped, and at work; no pod is there yet.

    When the test is over the pods are deleted, and whatever podagent is there then must release every lease.
    """
    host.make_fresh()
    host.start_agent(node)
    yield host
    node.delete_pods()
    node.settles()


@pytest.fixture
def attached(installed: Host, node: Node) -> Links:
    """What pod `web` has: network `data` is attached to it. Network `red` is there for a change to come."""
    node.define("data", "red")
    node.pod("web", ["data"])
    return node.settles(web=["data"])["web"]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One kind of machine after the other, so that a worker has only one at a time; the order within each stays."""
    mine = [item for item in items if Path(__file__).parent in item.path.parents]
    for item in mine:
        for mark in (pytest.mark.root, pytest.mark.timeout(_TEST_SECONDS), pytest.mark.xdist_group(_kind(item))):
            item.add_marker(mark)
    places = iter(sorted(mine, key=lambda item: _KINDS.index(_kind(item))))
    chosen = set(map(id, mine))
    items[:] = [next(places) if id(item) in chosen else item for item in items]


def _kind(item: pytest.Item) -> str:
    """Of the item's machine; "" without one."""
    callspec = getattr(item, "callspec", None)
    return str(callspec.params.get("booted", "")) if callspec else ""
