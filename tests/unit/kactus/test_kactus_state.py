from __future__ import annotations

import json
import os
import resource
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from podagent.cni.delegatefile import ADDING
from podagent.decide.dialects.kaloom_names import interface_name
from podagent.foreign import Json
from podagent.kactus.delegates import ifname_of
from podagent.kactus.failure import Failure
from podagent.kactus.log import setup
from podagent.kactus.state import DEFINITION, IFNAME, LARGEST_WRITTEN, SavedDelegates, containers, identity

ID = "c" * 64
IPAM: Json = {"type": "host-local", "subnet": "10.1.0.0/16"}
DATA: Json = {
    "cniVersion": "0.3.1", "name": "data", "type": "bridge", "bridge": "data-br", "ipam": IPAM, "networkName": "data",
}  # fmt: skip
FLANNEL: Json = {"cniVersion": "0.3.1", "type": "flannel", "masterPlugin": True, "delegate": {"hairpinMode": True}}
PRIMARY: Json = {**DATA, "masterPlugin": True}
CHAIN: Json = {"plugins": [{"type": "flannel"}, {"type": "portmap"}], "masterPlugin": True}


def hold(cni_dir: Path) -> SavedDelegates:
    return SavedDelegates(str(cni_dir), ID)


def keep(cni_dir: Path, *delegates: Json) -> None:
    with hold(cni_dir) as saved:
        for delegate in delegates:
            saved.put(delegate)


def kept(cni_dir: Path) -> list[Json]:
    with hold(cni_dir) as saved:
        return saved.delegates


def refused(act: Callable[[], object]) -> str:
    with pytest.raises(Failure) as caught:
        act()
    assert caught.value.code == 5
    return caught.value.message


def files(cni_dir: Path) -> list[str]:
    return sorted(str(path.relative_to(cni_dir)) for path in cni_dir.rglob("*") if not path.is_dir())


def write(cni_dir: Path, content: bytes) -> None:
    cni_dir.mkdir(parents=True, exist_ok=True)
    (cni_dir / ID).write_bytes(content)


@pytest.mark.parametrize(
    "master", [FLANNEL, {"type": "flannel", "masterplugin": True}, {"type": "flannel"}, PRIMARY, CHAIN]
)
def test_a_file_of_kaloom_or_of_0_3_0_is_understood(cni_dir: Path, master: Json) -> None:
    write(cni_dir, json.dumps([DATA, master]).encode())
    found = kept(cni_dir)
    assert found == [DATA, master]
    assert [identity(each) for each in found] == ["data", ""]
    assert [ifname_of(each, "eth0") for each in found] == [interface_name("data"), "eth0"]


def test_kaloom_would_understand_the_file(cni_dir: Path) -> None:
    own = {IFNAME: "net8d777f385d3d", ADDING: True, DEFINITION: "default/data", "prevResult": {"cniVersion": "0.3.1"}}
    assert all(key.startswith("kactus") or key == "prevResult" for key in own)
    keep(cni_dir, {**FLANNEL, **own}, {**DATA, **own})
    assert json.loads((cni_dir / ID).read_bytes()) == [{**FLANNEL, **own}, {**DATA, **own}]


def test_a_delegate_takes_the_place_of_the_one_with_its_name(cni_dir: Path) -> None:
    keep(cni_dir, FLANNEL, DATA, {**DATA, "bridge": "other"}, {**FLANNEL, "mtu": 1400})
    assert kept(cni_dir) == [{**FLANNEL, "mtu": 1400}, {**DATA, "bridge": "other"}]


def test_the_file_goes_with_its_last_delegate(cni_dir: Path) -> None:
    keep(cni_dir, FLANNEL, DATA)
    with hold(cni_dir) as saved:
        saved.drop(DATA)
        assert json.loads((cni_dir / ID).read_bytes()) == [FLANNEL]
        saved.drop(FLANNEL)
        saved.drop(FLANNEL)
    assert files(cni_dir) == []


def test_only_root_may_read_the_delegates_whatever_the_umask(cni_dir: Path) -> None:
    before = os.umask(0)
    try:
        keep(cni_dir, DATA)
    finally:
        os.umask(before)
    modes = [stat.S_IMODE((cni_dir / name).stat().st_mode) for name in ("", ".locks", ID)]
    assert modes == [0o700, 0o700, 0o600]


def test_a_file_is_replaced_never_written_to(cni_dir: Path) -> None:
    keep(cni_dir, DATA)
    with (cni_dir / ID).open("rb") as before:
        keep(cni_dir, FLANNEL)
        assert json.loads(before.read()) == [DATA]


BROKEN = [b"", b"nonsense", b"{}", b"null", b"[null]", b"[[]]", b"[{}]", b'[{"type": ""}]', b'[{"type": ["x"]}]',
          b'[{"plugins": []}]', b'[{"plugins": [{}]}]', b'[{"plugins": {"type": "x"}}]', b'[{"type": "bridge"}, 7]',
          b"\xff\xfe", b"[" * 100_000]  # fmt: skip


@pytest.mark.parametrize("content", BROKEN)
def test_a_file_that_cannot_be_understood_is_set_aside_and_logged(
    cni_dir: Path, tmp_path: Path, content: bytes
) -> None:
    write(cni_dir, content)
    setup({"_CNI_LOGGING_FILE": str(tmp_path / "log")})
    try:
        assert kept(cni_dir) == []
    finally:
        setup({})
    assert (cni_dir / f".{ID}.unreadable").read_bytes() == content
    assert f"{cni_dir}/.{ID}.unreadable" in (tmp_path / "log").read_text()
    assert containers(str(cni_dir)) == []


@pytest.mark.parametrize("name", [ID, f".locks/{ID}", f".locks/.{ID}.new"])
def test_a_link_that_leads_elsewhere_is_not_followed(cni_dir: Path, tmp_path: Path, name: str) -> None:
    victim = tmp_path / "victim"
    victim.write_text(json.dumps([DATA]))
    (cni_dir / ".locks").mkdir(parents=True)
    (cni_dir / name).symlink_to(victim)
    refused(lambda: keep(cni_dir, FLANNEL))
    assert victim.read_text() == json.dumps([DATA])


def test_a_pipe_in_the_place_of_the_file_holds_nobody_up(cni_dir: Path) -> None:
    cni_dir.mkdir()
    os.mkfifo(cni_dir / ID)
    assert kept(cni_dir) == []


def test_a_directory_that_cannot_be_made_or_listed_is_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    assert str(file) in refused(lambda: kept(file / "kactus"))
    assert refused(lambda: containers(str(file))) == f"cannot list {file}: Not a directory"


def test_only_files_that_may_be_a_containers_are_containers(cni_dir: Path) -> None:
    assert containers(str(cni_dir)) == []
    keep(cni_dir, DATA)
    (cni_dir / "directory").mkdir()
    (cni_dir / ".hidden").write_text("[]")
    (cni_dir / "no name").write_text("[]")
    assert containers(str(cni_dir)) == [ID]


def test_the_longest_container_id_has_room_for_every_file(tmp_path: Path) -> None:
    with SavedDelegates(str(tmp_path), "x" * 240) as saved:
        saved.put(DATA)
    (tmp_path / ("x" * 240)).write_text("broken")
    with SavedDelegates(str(tmp_path), "x" * 240) as saved:
        assert saved.delegates == []


@contextmanager
def small_disk() -> Iterator[None]:
    """Where a file can have 100 bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_leaves_the_file_as_it_was(cni_dir: Path) -> None:
    keep(cni_dir, {"type": "bridge"})
    with hold(cni_dir) as saved, small_disk():
        assert "cannot write" in refused(lambda: saved.put(DATA))
        assert saved.delegates == [{"type": "bridge"}]
    assert kept(cni_dir) == [{"type": "bridge"}]
    assert files(cni_dir) == [ID]


LONG: Json = {**DATA, "bridge": "x" * LARGEST_WRITTEN}


@pytest.mark.promise(
    "kactus: the saved delegates of a container outgrow 4 MiB",
    "the call fails and says so; the saved file stays as it was",
)
def test_a_file_does_not_grow_beyond_its_limit(cni_dir: Path) -> None:
    keep(cni_dir, FLANNEL)
    with hold(cni_dir) as saved:
        what = refused(lambda: saved.put(LONG))
        assert (
            what
            == f"{cni_dir}/{ID} would have more than 4 MiB: give the pod fewer networks, or shorten their definitions"
        )
    assert kept(cni_dir) == [FLANNEL]


def test_a_larger_file_of_an_older_version_can_be_read_and_shortened(cni_dir: Path) -> None:
    write(cni_dir, json.dumps([FLANNEL, LONG, {**LONG, "networkName": "other"}]).encode())
    with hold(cni_dir) as saved:
        refused(lambda: saved.put(FLANNEL))
        saved.drop(DATA)
    assert [identity(each) for each in kept(cni_dir)] == ["", "other"]


def test_a_file_that_is_too_large_to_be_read_stays(cni_dir: Path) -> None:
    write(cni_dir, b"[")
    os.truncate(cni_dir / ID, (256 << 20) + 1)
    assert refused(lambda: kept(cni_dir)) == f"cannot use {cni_dir}/{ID}: it has more than 256 MiB"
    assert files(cni_dir) == [ID]
