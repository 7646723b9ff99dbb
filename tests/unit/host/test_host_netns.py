"""Holding namespaces by any files, since all that a reference says of one is its path, inode and process.

What only a real namespace can show is below tests/functional.
"""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from lab.processes import open_files
from lab.waiting import eventually
from podagent.errors import HostNetworkRefused, NetnsGone, NetnsUnavailable
from podagent.host import netns as netns_module
from podagent.host.links import link_names
from podagent.host.netns import NetworkNamespaces, boot_id, host_inodes, identify, setns
from podagent.host.pins import Pins
from podagent.model import Link

OWN = "/proc/self/ns/net"
SANDBOX = "5a4d"
NOWHERE = Path("/nowhere")


@pytest.fixture
def entered() -> list[int]:
    """The inodes of the descriptors that are entered; nothing moves there."""
    return []


@pytest.fixture
def namespaces(entered: list[int]) -> NetworkNamespaces:
    return NetworkNamespaces(Pins(NOWHERE), host=(), enter=lambda fd: entered.append(os.fstat(fd).st_ino))


@pytest.fixture
def netns(tmp_path: Path) -> Path:
    path = tmp_path / "netns"
    path.write_text("")
    return path


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "600"]) as started:
        yield started
        started.kill()


def test_a_namespace_is_recognised_by_its_inode_and_its_process(process: subprocess.Popen[bytes], netns: Path) -> None:
    path = f"/proc/{process.pid}/ns/net"
    ref = identify(path)
    assert (ref.path, ref.inode) == (path, Path(path).stat().st_ino)
    assert ref.started > 0
    assert identify(str(netns)) == (str(netns), netns.stat().st_ino, 0)


@pytest.mark.parametrize("path", ["/proc/999999999/ns/net", "/run/netns/absent", "", "/proc/1\0/ns/net"])
def test_a_namespace_that_is_not_there_is_gone(path: str) -> None:
    with pytest.raises(NetnsGone, match="is gone"):
        identify(path)


def test_the_namespace_of_a_process_that_has_ended_is_gone(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    stat = Path(f"/proc/{process.pid}/stat")
    eventually(lambda: " Z " in stat.read_text())
    with pytest.raises(NetnsGone):
        identify(f"/proc/{process.pid}/ns/net")


def test_a_held_namespace_is_entered_to_see_its_links(
    namespaces: NetworkNamespaces, entered: list[int], netns: Path
) -> None:
    with namespaces.reenter(identify(str(netns)), SANDBOX) as held:
        links = held.links()
        assert links.keys() == link_names()
        assert links["lo"] == Link(socket.if_nametoindex("lo"))
        assert held.intact()
    assert entered == [netns.stat().st_ino]


def test_a_look_leaves_the_thread_in_its_namespace(netns: Path) -> None:
    threads: list[str] = []
    looked = NetworkNamespaces(
        Pins(NOWHERE), host=(), enter=lambda fd: threads.append(str(Path("/proc/thread-self").readlink()))
    )
    with looked.reenter(identify(str(netns)), SANDBOX) as held:
        held.links()
    assert threads != [str(Path("/proc/thread-self").readlink())]


def test_a_namespace_that_cannot_be_entered_is_an_error_and_not_an_empty_answer(netns: Path) -> None:
    with (
        NetworkNamespaces(Pins(NOWHERE)).reenter(identify(str(netns)), SANDBOX) as held,
        pytest.raises(NetnsUnavailable, match="EINVAL"),
    ):
        held.links()
    with netns.open() as file, pytest.raises(OSError, match="Invalid argument"):
        setns(file.fileno())


UNCERTAIN = [errno.ENFILE, errno.EMFILE, errno.EACCES, errno.EPERM, errno.ENOMEM, errno.EIO]
CALLS = {"stat": (os, "stat"), "open": (os, "open"), "open of the process": (netns_module, "open")}


@pytest.mark.parametrize("number", UNCERTAIN, ids=errno.errorcode.get)
@pytest.mark.parametrize("site", [*CALLS, "setns"])
def test_a_call_that_fails_does_not_make_a_namespace_gone(
    process: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch, site: str, number: int
) -> None:
    def fail(*_: object, **__: object) -> NoReturn:
        raise OSError(number, os.strerror(number))

    ref = identify(f"/proc/{process.pid}/ns/net")
    namespaces = NetworkNamespaces(Pins(NOWHERE), host=(), enter=fail if site == "setns" else lambda fd: None)
    if site in CALLS:
        monkeypatch.setattr(*CALLS[site], fail, raising=False)
    with pytest.raises(NetnsUnavailable, match=errno.errorcode[number]), namespaces.reenter(ref, SANDBOX) as held:
        held.links()
    monkeypatch.undo()


def test_a_namespace_is_not_gone_when_no_thread_can_be_started_to_enter_it(
    namespaces: NetworkNamespaces, netns: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: threading.Thread) -> NoReturn:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with (
        pytest.raises(NetnsUnavailable, match="raise TasksMax"),
        namespaces.reenter(identify(str(netns)), SANDBOX) as held,
    ):
        held.links()


def refuse(*_: str) -> NoReturn:
    raise PermissionError(errno.EPERM, "Operation not permitted")


def test_a_pinned_namespace_is_there_until_it_is_let_go(process: subprocess.Popen[bytes], tmp_path: Path) -> None:
    ref = identify(f"/proc/{process.pid}/ns/net")
    namespaces = NetworkNamespaces(Pins(tmp_path / "pins", mount=refuse), host=())
    with namespaces.enter(ref, SANDBOX) as held:
        assert (held.path != ref.path, held.runs()) == (True, True)
    process.kill()
    process.wait()
    with namespaces.reenter(ref, SANDBOX) as held:
        assert (held.intact(), held.runs(), namespaces.runs(ref)) == (True, False, False)
    with pytest.raises(NetnsGone), namespaces.enter(ref, SANDBOX):
        pytest.fail("entered a sandbox that has ended")
    namespaces.unpin(ref, SANDBOX)
    with pytest.raises(NetnsGone), namespaces.reenter(ref, SANDBOX):
        pytest.fail("entered what is gone")


def test_a_namespace_that_cannot_be_pinned_or_let_go_is_not_gone(
    netns: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(fd: int) -> NoReturn:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    ref, namespaces = identify(str(netns)), NetworkNamespaces(Pins(tmp_path / "pins", refuse, refuse), host=())
    with pytest.raises(NetnsUnavailable, match="stays pinned"):
        namespaces.unpin(ref, SANDBOX)
    monkeypatch.setattr(os, "dup", full)
    with pytest.raises(NetnsUnavailable, match="LimitNOFILE"), namespaces.enter(ref, SANDBOX):
        pytest.fail("entered without a pin")


@pytest.mark.parametrize("number", [errno.ENOENT, errno.ESRCH])
def test_only_what_does_not_exist_is_gone(netns: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def fail(*_: object, **__: object) -> NoReturn:
        raise OSError(number, os.strerror(number))

    ref, namespaces = identify(str(netns)), NetworkNamespaces(Pins(NOWHERE), host=())
    monkeypatch.setattr(os, "open", fail)
    with pytest.raises(NetnsGone), namespaces.reenter(ref, SANDBOX):
        pytest.fail("held what is gone")
    monkeypatch.undo()


def test_a_namespace_that_is_not_as_recorded_is_gone(netns: Path, namespaces: NetworkNamespaces) -> None:
    ref = identify(str(netns))
    for other in (ref._replace(inode=1), ref._replace(started=1), ref._replace(path="/run/netns/absent")):
        with pytest.raises(NetnsGone, match=other.path), namespaces.reenter(other, SANDBOX):
            pytest.fail("held what is gone")


def test_a_held_namespace_is_not_intact_when_its_path_leads_elsewhere(
    netns: Path, namespaces: NetworkNamespaces
) -> None:
    with namespaces.reenter(identify(str(netns)), SANDBOX) as held:
        netns.rename(netns.with_name("old"))
        assert not held.intact()
        netns.write_text("")
        assert not held.intact()


def test_the_hosts_namespace_is_refused_but_gone_if_another_one_was_recorded(netns: Path) -> None:
    ref, namespaces = identify(str(netns)), NetworkNamespaces(Pins(NOWHERE), host={netns.stat().st_ino})
    with pytest.raises(HostNetworkRefused, match=str(netns)), namespaces.reenter(ref, SANDBOX):
        pytest.fail("held the host's namespace")
    with pytest.raises(NetnsGone), namespaces.reenter(ref._replace(inode=1), SANDBOX):
        pytest.fail("held what is gone")


def test_our_own_namespace_is_the_hosts() -> None:
    assert Path(OWN).stat().st_ino in host_inodes()
    with pytest.raises(HostNetworkRefused), NetworkNamespaces(Pins(NOWHERE)).reenter(identify(OWN), SANDBOX):
        pytest.fail("held the host's namespace")


def test_no_descriptor_stays_open(netns: Path, namespaces: NetworkNamespaces) -> None:
    ref = identify(str(netns))
    with namespaces.reenter(ref, SANDBOX):
        assert open_files().count(str(netns)) == 1
    with pytest.raises(InterruptedError), namespaces.reenter(ref, SANDBOX):
        raise InterruptedError
    with pytest.raises(NetnsGone), namespaces.reenter(ref._replace(inode=1), SANDBOX):
        pytest.fail("held what is gone")
    assert str(netns) not in open_files()


def test_a_boot_has_one_id() -> None:
    assert boot_id() == boot_id()
    assert len(boot_id()) == 36
