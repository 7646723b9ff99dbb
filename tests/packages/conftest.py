"""Packages, machines to install them on, and the check that a test leaves nothing in them.

Machines are costly, so that the tests of a kind share one; what a test finds in it is always made anew.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.links import Links
from packages.bed.host import KINDS, Host
from packages.bed.machine import Machine, unpacked
from packages.bed.node import Node
from packages.bed.packages import Packages, Say, build, copy_of_sources
from packages.bed.repacking import as_newer, as_released

# With all that a first test may have to make before: images, packages, a machine.
_TEST_SECONDS = 1200
_MEMORY, _ROOM = Path("/dev/shm"), 6 << 30
_PREFIX = "podagent-packaging-"


@pytest.fixture(scope="session")
def say(request: pytest.FixtureRequest) -> Say:
    """Tells whoever waits what is going on."""
    reporter, capture = map(request.config.pluginmanager.get_plugin, ("terminalreporter", "capturemanager"))

    def tell(text: str) -> None:
        if reporter and capture:
            with capture.global_and_fixture_disabled():
                reporter.ensure_newline()
                reporter.write_line(f"packages: {text}")

    return tell


@pytest.fixture(scope="session")
def disk() -> Iterator[Path]:
    """A directory for what is big and soon gone: in memory if there is enough, for it is a lot to write."""
    in_memory = _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > _ROOM and _free_memory() > _ROOM
    parent = _MEMORY if in_memory else Path(tempfile.gettempdir())
    _remove_orphans(parent)
    with tempfile.TemporaryDirectory(prefix=f"{_PREFIX}{os.getpid()}-", dir=parent) as directory:
        yield Path(directory)


def _remove_orphans(parent: Path) -> None:
    """What a run has left that was killed: it would take up memory until the next boot."""
    for left in parent.glob(f"{_PREFIX}*"):
        pid = left.name.removeprefix(_PREFIX).split("-")[0]
        if pid.isdigit() and not Path("/proc", pid).exists():
            shutil.rmtree(left)


def _free_memory() -> int:
    fields = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    return int(fields["MemAvailable"].split()[0]) * 1024


@pytest.fixture(scope="session")
def sources(disk: Path) -> Path:
    return copy_of_sources(disk / "sources")


@pytest.fixture(scope="session")
def packages(sources: Path, disk: Path, say: Say) -> Packages:
    return build(sources, disk, say)


@pytest.fixture(scope="session")
def newer_packages(packages: Packages, sources: Path, disk: Path) -> Packages:
    """The version after that one; otherwise the same, but for the settings that it ships."""
    return as_newer(packages, sources, disk / "newer")


@pytest.fixture(scope="session")
def released_packages(packages: Packages, sources: Path, disk: Path) -> Packages:
    """The version that was released before."""
    return as_released(packages, sources, disk / "released")


@pytest.fixture(scope="session", params=KINDS)
def host(request: pytest.FixtureRequest, packages: Packages, disk: Path, say: Say) -> Iterator[Host]:
    """A machine that is on; podagent may be installed on it, or not."""
    kind = KINDS[request.param]
    machine = Machine(request.param, unpacked(kind.image.made(say), disk), disk)
    try:
        machine.boot()
        yield Host(machine, kind, packages)
    finally:
        machine.close()


@pytest.fixture
def machine(host: Host) -> Machine:
    return host.machine


@pytest.fixture
def node(host: Host) -> Iterator[Node]:
    """The pods and networks of the machine. What the test has left of them must go without a trace."""
    before = host.machine.now()
    made = Node(host.machine)
    try:
        yield made
    finally:
        print(host.machine.journal_text("-u", "podagent", since=before))
        made.close()


@pytest.fixture
def installed(host: Host, node: Node) -> Iterator[Host]:
    """podagent is installed in the version under test, as shipped, and at work; no pod is there yet.

    When the test is over the pods are deleted, and whatever podagent is there then must release every lease.
    """
    host.make_fresh()
    yield from _at_work(host, node)


@pytest.fixture
def released(host: Host, node: Node, released_packages: Packages) -> Iterator[Host]:
    """Likewise, but in the version that was released before; when the test is over nothing is installed."""
    host.make_bare()
    host.manager.install(released_packages)
    host.service.systemctl("enable")
    yield from _at_work(host, node)
    host.make_bare()


def _at_work(host: Host, node: Node) -> Iterator[Host]:
    host.start_agent(node)
    yield host
    node.delete_pods()
    node.wait_for_leases(0, *node.networks)
    host.service.wait_for_attachments()


@pytest.fixture
def attached(installed: Host, node: Node) -> Links:
    """What pod `web` has: network `data` is attached to it. Network `red` is there for a change to come."""
    node.define("data")
    node.define("red")
    node.pod("web", ["data"])
    links = node.wait_for("web", "data")
    installed.service.wait_for_attachments("data")
    return links


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One kind of machine after the other, so that only one is on at a time; the order within each stays."""
    mine = [item for item in items if Path(__file__).parent in item.path.parents]
    for item in mine:
        item.add_marker(pytest.mark.root)
        item.add_marker(pytest.mark.timeout(_TEST_SECONDS))
    places = iter(sorted(range(len(mine)), key=lambda place: _kind(mine[place])))
    chosen = set(map(id, mine))
    items[:] = [mine[next(places)] if id(item) in chosen else item for item in items]


def _kind(item: pytest.Item) -> int:
    """The place of the item's machine among all kinds; those without one come last."""
    callspec = getattr(item, "callspec", None)
    kind = callspec.params.get("host") if callspec else None
    return list(KINDS).index(kind) if kind in KINDS else len(KINDS)
