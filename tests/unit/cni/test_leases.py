"""What host-local's files say about one attachment."""

from __future__ import annotations

from pathlib import Path

import pytest

from podagent.cni.leases import reserved
from podagent.model import Target

TARGET = Target("sandbox1", "", "net0")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    made = tmp_path / "data"
    made.mkdir()
    (made / "lock").touch()
    (made / "last_reserved_ip.0").write_text("10.0.0.2")
    return made


def where(directory: Path) -> str:
    return reserved({"type": "host-local", "dataDir": str(directory.parent)}, "data", TARGET)


@pytest.mark.parametrize("written", ["sandbox1\r\nnet0", "sandbox1\nnet0", "sandbox1"])
def test_an_address_is_reserved_for_the_attachment_that_its_file_names(directory: Path, written: str) -> None:
    (directory / "10.0.0.2").write_text(written)
    assert where(directory) == f"in {directory}"


@pytest.mark.parametrize("written", ["", "sandbox2\r\nnet0", "sandbox1\r\nnet1"])
def test_an_address_of_another_one_is_none_of_its_own(directory: Path, written: str) -> None:
    (directory / "10.0.0.2").write_text(written)
    assert where(directory) == ""


def test_nothing_is_reserved_where_there_is_no_directory(tmp_path: Path) -> None:
    assert where(tmp_path / "none") == ""


def test_an_address_may_be_reserved_in_a_directory_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    assert where(tmp_path / "data") == f"in {tmp_path / 'data'}"


def test_another_ipam_plugin_keeps_its_addresses_elsewhere() -> None:
    assert reserved({"type": "whereabouts"}, "data", TARGET) == "by the IPAM plugin whereabouts"
