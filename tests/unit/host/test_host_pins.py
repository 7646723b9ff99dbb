"""Pins, with links in place of mounts, so that no root is needed; real mounts are in tests/functional/test_netns.py."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from podagent.host.pins import Pin, Pins, pin_directory

OWN = "/proc/self/ns/net"
INODE = Path(OWN).stat().st_ino
PIN = Pin("5a4d", INODE)


def link(source: str, target: str) -> None:
    """In place of a mount: it leads to the same namespace."""
    Path(target).unlink()
    Path(target).symlink_to(OWN)


def unlink(target: str) -> None:
    if not Path(target).is_symlink():
        raise OSError(errno.EINVAL if Path(target).exists() else errno.ENOENT, "not mounted")
    Path(target).unlink()


def refuse(*_: str) -> NoReturn:
    raise PermissionError(errno.EPERM, "Operation not permitted")


@pytest.fixture
def fd() -> Iterator[int]:
    opened = os.open(OWN, os.O_RDONLY | os.O_CLOEXEC)
    yield opened
    os.close(opened)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "run" / "netns"


@pytest.fixture
def pins(directory: Path) -> Pins:
    return Pins(directory, link, unlink)


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_a_namespace_is_pinned_once_and_let_go(pins: Pins, directory: Path, fd: int) -> None:
    assert pins.path(PIN) == ""
    assert pins.pin(PIN, fd) == pins.pin(PIN, fd) == pins.path(PIN) == str(directory / f"5a4d-{INODE}")
    assert directory.stat().st_mode & 0o777 == 0o700
    for _ in range(2):
        pins.unpin(PIN)
    assert (pins.path(PIN), names(directory)) == ("", [])


@pytest.mark.promise(
    "Node: network namespaces cannot be mounted",
    "the agent holds them open, and a warning says so",
)
def test_where_nothing_can_be_mounted_a_descriptor_is_held_and_the_journal_says_so_once(
    directory: Path, fd: int, caplog: pytest.LogCaptureFixture
) -> None:
    pins = Pins(directory, refuse, unlink)
    for _ in range(2):
        path = pins.pin(PIN, fd)
        assert path.startswith(f"/proc/{os.getpid()}/fd/")
        assert (Path(path).stat().st_ino, names(directory)) == (INODE, [])
        pins.unpin(PIN)
        assert pins.path(PIN) == ""
        assert not Path(path).exists()
    (message,) = caplog.messages
    assert f"{directory}" in message
    assert "Operation not permitted" in message


def test_a_file_in_the_place_of_the_directory_costs_no_pin(tmp_path: Path, fd: int) -> None:
    (tmp_path / "run").touch()
    pins = Pins(tmp_path / "run" / "netns", link, unlink)
    assert pins.path(PIN) == ""
    assert Path(pins.pin(PIN, fd)).stat().st_ino == INODE
    pins.unpin(PIN)


def test_a_file_in_the_place_of_a_pin_is_no_namespace(pins: Pins, directory: Path, fd: int) -> None:
    directory.mkdir(parents=True)
    place = directory / PIN.file_name
    place.touch()
    assert pins.path(PIN) == ""
    place.rename(directory / PIN._replace(inode=place.stat().st_ino).file_name)
    assert pins.path(PIN._replace(inode=place.with_name(names(directory)[0]).stat().st_ino)) == ""
    place.touch()
    assert Path(pins.pin(PIN, fd)).stat().st_ino == INODE


@pytest.mark.parametrize("sandbox_id", ["../../etc", "", "a" * 129, "é"])
def test_no_id_of_a_sandbox_leads_out_of_the_directory(pins: Pins, directory: Path, fd: int, sandbox_id: str) -> None:
    name = Pin(sandbox_id, INODE)
    assert Path(pins.pin(name, fd)).parent == directory
    assert name.file_name.isascii()
    assert len(name.file_name) < 100


def test_a_start_removes_the_pins_without_records_and_goes_on_where_that_fails(
    pins: Pins, directory: Path, fd: int
) -> None:
    pins.keep_only([])
    made = [Pin(f"sandbox-{number}", INODE) for number in range(4)]
    for each in made:
        pins.pin(each, fd)
    pins.keep_only(made[:3])
    assert names(directory) == [each.file_name for each in made[:3]]
    foreign = directory / "directory"
    foreign.mkdir()
    with pytest.raises(OSError, match=foreign.name):
        pins.keep_only(made[:1])
    assert names(directory) == [foreign.name, made[0].file_name]


def test_a_pin_that_cannot_be_unmounted_stays(pins: Pins, directory: Path, fd: int) -> None:
    path = pins.pin(PIN, fd)
    with pytest.raises(PermissionError):
        Pins(directory, link, refuse).unpin(PIN)
    assert pins.path(PIN) == path


def test_agents_with_other_state_directories_have_pins_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to(tmp_path)
    places = {pin_directory(tmp_path / name) for name in ("one", "two", "alias/one")}
    assert len(places) == 2
