"""Real network namespaces: looked into, held, recognised. Tests that need none are in tests/unit/host."""

from __future__ import annotations

import os
import socket
import subprocess
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lab import processes
from lab.links import links_of
from lab.session import LEASES_PREFIX
from lab.waiting import eventually
from podagent.errors import HostNetworkRefused, NetnsGone
from podagent.host.netns import NetworkNamespaces, identify

pytestmark = pytest.mark.root

OWN = "/proc/self/ns/net"
NAMESPACES = NetworkNamespaces()


class Process:
    """A process in a network namespace of its own, like the pause container of a sandbox."""

    def __init__(self) -> None:
        self._popen = subprocess.Popen(["unshare", "-n", "sleep", "600"], stdin=subprocess.DEVNULL)
        self.pid = self._popen.pid
        self.path = f"/proc/{self.pid}/ns/net"
        eventually(lambda: inode(self.path) != inode(OWN), what="the process to be in its own namespace")

    def add_link(self, name: str) -> None:
        subprocess.run(["nsenter", "-t", str(self.pid), "-n", "ip", "link", "add", name, "type", "bridge"], check=True)

    def kill(self) -> None:
        """Ends it, but leaves it a zombie."""
        processes.end([self.pid])
        eventually(lambda: not processes.is_alive(self.pid))

    def reap(self) -> None:
        self._popen.kill()
        self._popen.wait()


@pytest.fixture
def process() -> Iterator[Process]:
    made = Process()
    yield made
    made.reap()


@pytest.fixture
def named() -> Iterator[Path]:
    """A namespace as ``ip netns`` makes them: a bind mount."""
    name = f"{LEASES_PREFIX}{uuid.uuid4().hex[:8]}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    yield Path("/run/netns") / name
    subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)


def inode(path: str | Path) -> int:
    return Path(path).stat().st_ino


def test_a_held_namespace_shows_its_links_to_whoever_stays_in_its_own(process: Process) -> None:
    process.add_link("neta")
    with NAMESPACES.hold(identify(process.path)) as held:
        assert held.intact()
        assert {name: held.ifindex(name) for name in held.links()} == {
            name: link.ifindex for name, link in links_of(process.path).items()
        }
        assert held.ifindex("netb") == 0
        assert held.mac("neta") == links_of(process.path)["neta"].mac
        assert held.mac("lo") == ""
        process.add_link("netb")
        assert set(held.links()) == {"lo", "neta", "netb"}
        assert inode("/proc/thread-self/ns/net") == inode(OWN) != inode(process.path)
        assert {"neta", "netb"}.isdisjoint(name for _, name in socket.if_nameindex())


def test_a_held_namespace_lives_on_but_is_not_intact_once_its_process_has_ended(process: Process) -> None:
    process.add_link("neta")
    ref = identify(process.path)
    with NAMESPACES.hold(ref) as held:
        process.kill()
        assert not held.intact(), "a zombie has ended"
        process.reap()
        assert not held.intact()
        assert set(held.links()) == {"lo", "neta"}
    with pytest.raises(NetnsGone, match=ref.path), NAMESPACES.hold(ref):
        pytest.fail("held what is gone")


def test_a_mounted_namespace_is_gone_with_its_mount_and_another_one_is_not_taken_for_it(named: Path) -> None:
    ref = identify(str(named))
    with NAMESPACES.hold(ref) as held:
        assert held.intact()
        assert set(held.links()) == {"lo"}
        for command in ("delete", "add"):
            subprocess.run(["ip", "netns", command, named.name], check=True)
            assert not held.intact()
            with pytest.raises(NetnsGone, match=ref.path), NAMESPACES.hold(ref):
                pytest.fail("held what is gone")


def test_the_hosts_own_namespace_is_refused_under_any_name(named: Path) -> None:
    subprocess.run(["umount", str(named)], check=True)
    subprocess.run(["mount", "--bind", OWN, str(named)], check=True)
    for path in (OWN, f"/proc/{os.getpid()}/ns/net", "/proc/thread-self/ns/net", str(named)):
        with pytest.raises(HostNetworkRefused, match=path), NAMESPACES.hold(identify(path)):
            pytest.fail("held the host's namespace")


def test_a_process_of_any_name_is_recognised(tmp_path: Path) -> None:
    program = tmp_path / "a) R 1 (b"
    program.symlink_to("/bin/sleep")
    with subprocess.Popen([str(program), "600"]) as started:
        eventually(lambda: ") R 1 (" in Path(f"/proc/{started.pid}/comm").read_text())
        stat = Path(f"/proc/{started.pid}/stat").read_text()
        assert identify(f"/proc/{started.pid}/ns/net").started == int(stat[stat.rindex(")") :].split()[20])
        started.kill()


def test_a_plugin_does_not_inherit_the_descriptor(process: Process) -> None:
    with NAMESPACES.hold(identify(process.path)):
        assert processes.namespaces_held(os.getpid()).count(f"net:[{inode(process.path)}]") == 1
        inherited = subprocess.run(["ls", "-l", "/proc/self/fd"], capture_output=True, text=True, close_fds=False)
        assert "net:[" not in inherited.stdout


def test_many_threads_look_into_different_namespaces_at_once() -> None:
    made = [Process() for _ in range(6)]

    def look(number: int) -> set[str]:
        ref, seen = identify(made[number].path), set[str]()
        for _ in range(40):
            with NAMESPACES.hold(ref) as held:
                seen |= held.links()
            assert inode("/proc/thread-self/ns/net") == inode(OWN)
        return seen

    try:
        for number, process in enumerate(made):
            process.add_link(f"net{number}")
        with ThreadPoolExecutor(12) as pool:
            seen = list(pool.map(look, [*range(6)] * 2))
    finally:
        for process in made:
            process.reap()
    assert seen == [{"lo", f"net{number}"} for number in range(6)] * 2
