"""Real network namespaces: recognised again, held, looked into; never the host's, never one that took its place."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab import processes
from lab.links import links_of
from lab.session import LEASES_PREFIX
from lab.waiting import eventually
from podagent.errors import HostNetworkRefused, NetnsGone
from podagent.host import netns
from podagent.host.netns import NetworkNamespaces, identify
from podagent.model import NetnsRef

pytestmark = pytest.mark.root

OWN = "/proc/self/ns/net"


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


@pytest.fixture
def namespaces() -> NetworkNamespaces:
    return NetworkNamespaces()


def inode(path: str | Path) -> int:
    return Path(path).stat().st_ino


@contextmanager
def refused_as_gone(namespaces: NetworkNamespaces, ref: NetnsRef) -> Iterator[None]:
    yield
    with pytest.raises(NetnsGone, match=ref.path), namespaces.hold(ref):
        pytest.fail("held what is gone")


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


# -- recognising ----------------------------------------------------------------------------------------------------


def test_a_namespace_of_a_process_is_known_by_path_inode_and_start_time(process: Process) -> None:
    ref = identify(process.path)
    assert (ref.path, ref.inode) == (process.path, inode(process.path))
    assert ref.started > 0
    assert identify(process.path) == ref


def test_a_mounted_namespace_is_known_by_path_and_inode(named: Path) -> None:
    assert identify(str(named)) == NetnsRef(str(named), inode(named), 0)


@pytest.mark.parametrize("path", ["/proc/999999999/ns/net", "/run/netns/absent", "", "relative", "/proc/1\0/ns/net"])
def test_what_is_not_there_is_gone(path: str) -> None:
    with pytest.raises(NetnsGone):
        identify(path)


def test_the_namespace_of_a_zombie_is_gone(process: Process) -> None:
    process.kill()
    with pytest.raises(NetnsGone):
        identify(process.path)


def test_a_process_of_any_name_is_recognised(tmp_path: Path) -> None:
    program = tmp_path / "a) R 1 (b"
    program.symlink_to("/bin/sleep")
    popen = subprocess.Popen([str(program), "600"])
    try:
        eventually(lambda: ") R 1 (" in Path(f"/proc/{popen.pid}/comm").read_text())
        stat = Path(f"/proc/{popen.pid}/stat").read_text()
        assert identify(f"/proc/{popen.pid}/ns/net").started == int(stat[stat.rindex(")") :].split()[20])
    finally:
        popen.kill()
        popen.wait()


def test_the_boot_has_an_id_that_stays() -> None:
    assert netns.boot_id() == netns.boot_id()
    assert len(netns.boot_id()) == 36


# -- holding --------------------------------------------------------------------------------------------------------


def test_a_held_namespace_is_intact_and_shows_its_links(process: Process, namespaces: NetworkNamespaces) -> None:
    process.add_link("neta")
    with namespaces.hold(identify(process.path)) as held:
        assert held.intact()
        assert set(held.links()) == {"lo", "neta"}
        assert {name: held.ifindex(name) for name in held.links()} == {
            name: link.ifindex for name, link in links_of(process.pid).items()
        }
        assert held.ifindex("netb") == 0
        process.add_link("netb")
        assert set(held.links()) == {"lo", "neta", "netb"}


def test_a_mounted_namespace_can_be_held_too(named: Path, namespaces: NetworkNamespaces) -> None:
    with namespaces.hold(identify(str(named))) as held:
        assert held.intact()
        assert set(held.links()) == {"lo"}


def test_a_held_namespace_lives_on_but_is_not_intact_once_its_process_has_ended(
    process: Process, namespaces: NetworkNamespaces
) -> None:
    process.add_link("neta")
    ref = identify(process.path)
    with namespaces.hold(ref) as held:
        process.kill()
        assert not held.intact(), "a zombie has ended"
        process.reap()
        assert not held.intact()
        assert set(held.links()) == {"lo", "neta"}
    with refused_as_gone(namespaces, ref):
        pass


def test_a_namespace_that_is_unmounted_is_gone(named: Path, namespaces: NetworkNamespaces) -> None:
    ref = identify(str(named))
    with refused_as_gone(namespaces, ref):
        subprocess.run(["ip", "netns", "delete", named.name], check=True)


def test_another_namespace_under_the_same_path_is_not_taken_for_it(named: Path, namespaces: NetworkNamespaces) -> None:
    ref = identify(str(named))
    with namespaces.hold(ref) as held, refused_as_gone(namespaces, ref):
        subprocess.run(["ip", "netns", "delete", named.name], check=True)
        subprocess.run(["ip", "netns", "add", named.name], check=True)
        assert not held.intact()


@pytest.mark.parametrize("change", [{"inode": 1}, {"started": 1}, {"inode": 1, "started": 1}])
def test_a_recycled_pid_is_not_taken_for_the_process_that_had_it(
    process: Process, namespaces: NetworkNamespaces, change: dict[str, int]
) -> None:
    with refused_as_gone(namespaces, identify(process.path)._replace(**change)):
        pass


def test_a_pid_that_passed_to_a_process_of_the_host_means_gone_and_not_refused(
    process: Process, namespaces: NetworkNamespaces
) -> None:
    """Else what was attached to that sandbox could not be detached for as long as the host's process runs."""
    recorded = identify(process.path)
    host = NetnsRef(f"/proc/{os.getpid()}/ns/net", recorded.inode, recorded.started)
    with refused_as_gone(namespaces, host):
        pass


@pytest.mark.parametrize(
    "path", [OWN, f"/proc/{os.getpid()}/ns/net", "/proc/thread-self/ns/net"], ids=["self", "by-pid", "thread-self"]
)
def test_the_hosts_own_namespace_is_refused(namespaces: NetworkNamespaces, path: str) -> None:
    with pytest.raises(HostNetworkRefused, match=path), namespaces.hold(identify(path)):
        pytest.fail("held the host's namespace")


def test_the_hosts_namespace_is_refused_under_any_name(namespaces: NetworkNamespaces, named: Path) -> None:
    subprocess.run(["umount", str(named)], check=True)
    subprocess.run(["mount", "--bind", OWN, str(named)], check=True)
    with pytest.raises(HostNetworkRefused), namespaces.hold(identify(str(named))):
        pytest.fail("held the host's namespace")


def test_looking_at_what_is_no_namespace_is_an_error_and_not_an_empty_answer(
    tmp_path: Path, namespaces: NetworkNamespaces
) -> None:
    """No links would mean that all of them have vanished."""
    path = tmp_path / "file"
    path.write_text("")
    with namespaces.hold(identify(str(path))) as held, pytest.raises(NetnsGone):
        held.links()


def test_no_descriptor_is_left_open_whatever_happens(process: Process, namespaces: NetworkNamespaces) -> None:
    ref = identify(process.path)
    before = descriptors()
    with namespaces.hold(ref) as held:
        held.links()
    with pytest.raises(InterruptedError), namespaces.hold(ref):
        raise InterruptedError
    for wrong in (ref._replace(inode=1), ref._replace(started=1), identify(OWN)):
        with pytest.raises((NetnsGone, HostNetworkRefused)), namespaces.hold(wrong):
            pytest.fail("held what it must not")
    assert descriptors() == before


def test_a_plugin_does_not_inherit_the_descriptor(process: Process, namespaces: NetworkNamespaces) -> None:
    with namespaces.hold(identify(process.path)):
        assert inode(process.path) in {fd.stat().st_ino for fd in Path("/proc/self/fd").iterdir() if fd.exists()}
        inherited = subprocess.run(["ls", "-l", "/proc/self/fd"], capture_output=True, text=True, close_fds=False)
        assert "net:[" not in inherited.stdout


# -- threads --------------------------------------------------------------------------------------------------------


def test_whoever_looks_stays_in_its_own_namespace(process: Process, namespaces: NetworkNamespaces) -> None:
    before = socket.if_nameindex()
    with namespaces.hold(identify(process.path)) as held:
        held.links()
        assert inode("/proc/thread-self/ns/net") == inode(f"/proc/{os.getpid()}/ns/net") != inode(process.path)
        assert socket.if_nameindex() == before


def test_many_threads_look_into_different_namespaces_at_once(namespaces: NetworkNamespaces) -> None:
    made = [Process() for _ in range(6)]
    seen: list[set[str]] = [set() for _ in made]
    strays: list[int] = []
    own = inode(OWN)

    def look(number: int) -> None:
        ref = identify(made[number].path)
        for _ in range(40):
            with namespaces.hold(ref) as held:
                seen[number] |= set(held.links())
            if inode("/proc/thread-self/ns/net") != own:
                strays.append(number)

    try:
        for number, process in enumerate(made):
            process.add_link(f"net{number}")
        threads = [threading.Thread(target=look, args=(number % len(made),)) for number in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        for process in made:
            process.reap()
    assert seen == [{"lo", f"net{number}"} for number in range(len(made))]
    assert strays == []
