"""Real network namespaces: looked into, held, recognised. Tests that need none are in tests/unit/host."""

from __future__ import annotations

import os
import socket
import subprocess
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab import processes
from lab.links import links_of
from lab.mounts import mounts_below
from lab.session import LEASES_PREFIX
from lab.waiting import eventually
from podagent.errors import HostNetworkRefused, NetnsGone
from podagent.host import hostends
from podagent.host.netns import NetworkNamespaces, identify
from podagent.host.pins import Pin, Pins
from podagent.model import NetnsRef

pytestmark = pytest.mark.root

OWN = "/proc/self/ns/net"
SANDBOX = "5a4d"
NAMESPACES = NetworkNamespaces(Pins(Path("/nowhere")))


class Process:
    """A process in a network namespace of its own, like the pause container of a sandbox.

    `users`: and in a user namespace of its own, which owns the other one: a pod with ``hostUsers: false``.
    """

    def __init__(self, *, users: bool = False) -> None:
        apart = ["--user", "--map-root-user"] if users else []
        self._popen = subprocess.Popen(["unshare", *apart, "-n", "sleep", "600"], stdin=subprocess.DEVNULL)
        self.pid = self._popen.pid
        self.path = f"/proc/{self.pid}/ns/net"
        eventually(lambda: inode(self.path) != inode(OWN), what="the process to be in its own namespace")

    def add_link(self, name: str) -> None:
        subprocess.run(["nsenter", "-t", str(self.pid), "-n", "ip", "link", "add", name, "type", "bridge"], check=True)

    def add_veth(self, name: str, host_end: str) -> None:
        ends = ["name", host_end, "type", "veth", "peer", "name", name, "netns", str(self.pid)]
        subprocess.run(["ip", "link", "add", *ends], check=True)

    def add_address(self, address: str, label: str) -> None:
        command = ["ip", "addr", "add", address, "dev", label.partition(":")[0]]
        command += [] if ":" in address else ["label", label]
        subprocess.run(["nsenter", "-t", str(self.pid), "-n", *command], check=True)

    def kill(self) -> None:
        """Ends it, but leaves it a zombie."""
        processes.end([self.pid])
        eventually(lambda: not processes.is_alive(self.pid))

    def reap(self) -> None:
        self._popen.kill()
        self._popen.wait()


@pytest.fixture(params=[False, True], ids=["users of the host", "users of its own"])
def process(request: pytest.FixtureRequest) -> Iterator[Process]:
    made = Process(users=request.param)
    yield made
    made.reap()


def make_named() -> Path:
    """A namespace as ``ip netns`` makes them: a bind mount."""
    name = f"{LEASES_PREFIX}{uuid.uuid4().hex[:8]}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    return Path("/run/netns") / name


def remove_named(path: Path) -> None:
    subprocess.run(["ip", "netns", "delete", path.name], check=False, capture_output=True)


@pytest.fixture
def named() -> Iterator[Path]:
    path = make_named()
    yield path
    remove_named(path)


def inode(path: str | Path) -> int:
    return Path(path).stat().st_ino


def test_a_held_namespace_shows_its_links_to_whoever_stays_in_its_own(process: Process) -> None:
    process.add_link("neta")
    with NAMESPACES.reenter(identify(process.path), SANDBOX) as held:
        assert held.intact()
        assert {name: link.ifindex for name, link in held.links().items()} == {
            name: link.ifindex for name, link in links_of(process.path).items()
        }
        assert "netb" not in held.links()
        assert held.links()["neta"].mac == links_of(process.path)["neta"].mac
        assert held.links()["lo"].mac == ""
        process.add_link("netb")
        assert set(held.links()) == {"lo", "neta", "netb"}
        assert inode("/proc/thread-self/ns/net") == inode(OWN) != inode(process.path)
        assert {"neta", "netb"}.isdisjoint(name for _, name in socket.if_nameindex())


def test_a_held_namespace_lives_on_but_is_not_intact_once_its_process_has_ended(process: Process) -> None:
    process.add_link("neta")
    ref = identify(process.path)
    with NAMESPACES.reenter(ref, SANDBOX) as held:
        process.kill()
        assert not held.intact(), "a zombie has ended"
        process.reap()
        assert not held.intact()
        assert set(held.links()) == {"lo", "neta"}
    with pytest.raises(NetnsGone, match=ref.path), NAMESPACES.reenter(ref, SANDBOX):
        pytest.fail("held what is gone")


def test_a_mounted_namespace_is_gone_with_its_mount_and_another_one_is_not_taken_for_it(named: Path) -> None:
    ref = identify(str(named))
    with NAMESPACES.reenter(ref, SANDBOX) as held:
        assert held.intact()
        assert set(held.links()) == {"lo"}
        for command in ("delete", "add"):
            subprocess.run(["ip", "netns", command, named.name], check=True)
            assert not held.intact()
            with pytest.raises(NetnsGone, match=ref.path), NAMESPACES.reenter(ref, SANDBOX):
                pytest.fail("held what is gone")


LAST_PID = Path("/proc/sys/kernel/ns_last_pid")
TRIES, PATIENCE = 200, 20
"""Until the kernel gives a number again, which it does soon, unless another process takes it: then another number."""


@contextmanager
def all_taken_below(number: int) -> Iterator[None]:
    """All lower inodes are in use, so that the kernel gives this one next: the lowest that is free."""
    taken = [make_named()]
    try:
        while inode(taken[-1]) < number:
            taken.append(make_named())
        remove_named(taken.pop())
        yield
    finally:
        for path in taken:
            remove_named(path)


@pytest.mark.promise(
    "Pods: the PID and the inode of a namespace that has ended are used again, for another pod",
    "the other pod is not entered",
)
@pytest.mark.skipif(not LAST_PID.exists(), reason="this kernel does not let PIDs be chosen")
def test_a_process_with_pid_and_inode_of_an_earlier_one_is_not_taken_for_it(process: Process) -> None:
    later = process
    for count in range(TRIES):
        if count % PATIENCE == 0:
            pid, ref = later.pid, identify(later.path)
        later.reap()
        with all_taken_below(ref.inode):
            LAST_PID.write_text(str(pid - 1))
            later = Process()
        if (later.pid, inode(later.path)) == (pid, ref.inode):
            break
    try:
        assert identify(later.path)[:2] == ref[:2]
        assert_is_gone(NAMESPACES, ref)
    finally:
        later.reap()


@pytest.mark.promise(
    "Pods: the inode of a mounted namespace is used again, for another pod",
    "the other pod is not entered",
)
def test_a_mounted_namespace_with_the_inode_of_an_earlier_one_is_not_taken_for_it(named: Path, pins: Pins) -> None:
    later = named
    for count in range(TRIES):
        if count % PATIENCE == 0:
            ref = identify(str(later))
        remove_named(later)
        with all_taken_below(ref.inode):
            later = make_named()
        if inode(later) == ref.inode:
            break
    try:
        assert identify(str(later)).inode == ref.inode
        namespaces = NetworkNamespaces(pins)
        with namespaces.enter(identify(str(later)), "another-sandbox") as held:
            assert held.inode() == ref.inode
            assert_is_gone(namespaces, ref)
        pins.keep_only([])
    finally:
        remove_named(later)


def assert_is_gone(namespaces: NetworkNamespaces, ref: NetnsRef) -> None:
    assert not namespaces.runs(ref)
    for way in (namespaces.enter, namespaces.reenter):
        with pytest.raises(NetnsGone, match=ref.path), way(ref, SANDBOX):
            pytest.fail("held that of another sandbox")


def test_the_hosts_own_namespace_is_refused_under_any_name(named: Path) -> None:
    subprocess.run(["umount", str(named)], check=True)
    subprocess.run(["mount", "--bind", OWN, str(named)], check=True)
    for path in (OWN, f"/proc/{os.getpid()}/ns/net", "/proc/thread-self/ns/net", str(named)):
        with pytest.raises(HostNetworkRefused, match=path), NAMESPACES.reenter(identify(path), SANDBOX):
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
    with NAMESPACES.reenter(identify(process.path), SANDBOX):
        assert processes.namespaces_held(os.getpid()).count(f"net:[{inode(process.path)}]") == 1
        inherited = subprocess.run(["ls", "-l", "/proc/self/fd"], capture_output=True, text=True, close_fds=False)
        assert "net:[" not in inherited.stdout


def test_many_threads_look_into_different_namespaces_at_once() -> None:
    made = [Process() for _ in range(6)]

    def look(number: int) -> set[str]:
        ref, seen = identify(made[number].path), set[str]()
        for _ in range(40):
            with NAMESPACES.reenter(ref, SANDBOX) as held:
                seen |= held.links().keys()
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


# --- pins ---------------------------------------------------------------------------------------------------------


def pinned_below(directory: Path) -> list[str]:
    return [Path(point).name for point in mounts_below(directory)]


@pytest.fixture
def pins(tmp_path: Path) -> Iterator[Pins]:
    made = Pins(tmp_path / "netns")
    yield made
    made.keep_only([])
    assert pinned_below(tmp_path) == []


def test_a_pinned_namespace_is_there_for_plugins_when_its_process_has_ended(
    process: Process, pins: Pins, tmp_path: Path
) -> None:
    process.add_link("neta")
    ref = identify(process.path)
    namespaces = NetworkNamespaces(pins)
    with namespaces.enter(ref, SANDBOX) as held:
        pinned = held.path
        assert held.runs()
    process.kill()
    process.reap()
    assert not namespaces.runs(ref)
    with namespaces.reenter(ref, SANDBOX) as held:
        assert (held.path, held.intact(), held.runs()) == (pinned, True, False)
        assert set(held.links()) == {"lo", "neta"}
        found = subprocess.run(["nsenter", f"--net={pinned}", "ip", "-o", "link"], capture_output=True, text=True)
        assert "neta" in found.stdout
    with pytest.raises(NetnsGone), namespaces.enter(ref, SANDBOX):
        pytest.fail("entered a sandbox that has ended")
    for _ in range(2):
        namespaces.unpin(ref, SANDBOX)
    with pytest.raises(NetnsGone), namespaces.reenter(ref, SANDBOX):
        pytest.fail("entered what is gone")
    assert pinned_below(tmp_path) == []


def test_pins_outlive_their_maker_and_those_of_no_record_are_removed_at_the_next_start(
    pins: Pins, process: Process, tmp_path: Path
) -> None:
    made = [Process() for _ in range(2)]
    names = [Pin(f"sandbox-{number}", inode(each.path)) for number, each in enumerate([process, *made])]
    for name, each in zip(names, [process, *made], strict=True):
        with Path(each.path).open() as file:
            pins.pin(name, file.fileno())
    for each in made:
        each.reap()
    later = Pins(tmp_path / "netns")
    later.keep_only(names[:1])
    assert [bool(later.path(name)) for name in names] == [True, False, False]
    assert pinned_below(tmp_path) == [names[0].file_name]


def test_a_restarted_sandbox_has_a_pin_for_each_of_its_namespaces(pins: Pins, process: Process) -> None:
    second = Process()
    for each in (process, second):
        with Path(each.path).open() as file:
            pins.pin(Pin(SANDBOX, inode(each.path)), file.fileno())
    pins.unpin(Pin(SANDBOX, inode(process.path)))
    assert pins.path(Pin(SANDBOX, inode(process.path))) == ""
    assert inode(pins.path(Pin(SANDBOX, inode(second.path)))) == inode(second.path)
    second.reap()


def test_a_thousand_sandboxes_have_a_pin_each_and_none_after_their_end(
    pins: Pins, process: Process, tmp_path: Path
) -> None:
    names = [Pin(f"{number:064x}", inode(process.path)) for number in range(1000)]
    with Path(process.path).open() as file:
        for name in names * 2:
            pins.pin(name, file.fileno())
    assert sorted(pinned_below(tmp_path)) == [name.file_name for name in names]
    Pins(tmp_path / "netns").keep_only(names)
    assert len(pinned_below(tmp_path)) == len(names)
    for name in names:
        pins.unpin(name)
    assert pinned_below(tmp_path) == []
    assert not any((tmp_path / "netns").iterdir())


def test_a_container_that_has_the_hosts_mounts_keeps_no_namespace(pins: Pins, process: Process, tmp_path: Path) -> None:
    name = Pin(SANDBOX, inode(process.path))
    with Path(process.path).open() as file:
        place = pins.pin(name, file.fileno())
    with subprocess.Popen(["unshare", "--mount", "--propagation", "private", "sleep", "600"]) as container:
        mounts = Path(f"/proc/{container.pid}/mountinfo")
        eventually(lambda: "sleep" in Path(f"/proc/{container.pid}/comm").read_text())
        assert place in mounts.read_text()
        pins.unpin(name)
        assert place not in mounts.read_text()
        container.kill()


@pytest.fixture
def host_end() -> str:
    return f"pl{uuid.uuid4().hex[:8]}"


def test_a_link_is_renamed_and_removed_by_its_index_with_its_end_on_the_host(process: Process, host_end: str) -> None:
    process.add_veth("neta", host_end)
    with NAMESPACES.reenter(identify(process.path), SANDBOX) as held:
        index = held.links()["neta"].ifindex
        held.rename("neta", "netb")
        assert held.links()["netb"].ifindex == index
        assert hostends.far_ends(["lo", "no-such-link", host_end]) == {index: socket.if_nametoindex(host_end)}
        held.remove(index)
        held.remove(index)
        assert set(held.links()) == {"lo"}
    assert host_end not in links_of(OWN)


def test_a_link_is_removed_by_its_end_on_the_host(process: Process, host_end: str) -> None:
    process.add_veth("neta", host_end)
    peer = socket.if_nametoindex(host_end)
    assert hostends.is_there(peer, [host_end])
    assert not hostends.is_there(peer, ["lo"])
    hostends.remove(peer)
    hostends.remove(peer)
    assert not hostends.is_there(peer, [host_end])
    assert set(links_of(process.path)) == {"lo"}


def test_a_link_has_the_addresses_of_both_families_and_of_all_labels(process: Process) -> None:
    process.add_link("neta")
    process.add_link("netb")
    given = {"10.0.0.2/24": "neta", "10.0.0.3/24": "neta:1", "fd00::2/64": "neta", "10.0.9.9/24": "netb"}
    for address, label in given.items():
        process.add_address(address, label)
    with NAMESPACES.reenter(identify(process.path), SANDBOX) as held:
        assert held.addresses("neta") == {"10.0.0.2", "10.0.0.3", "fd00::2"}
        assert held.addresses("net") == set()
