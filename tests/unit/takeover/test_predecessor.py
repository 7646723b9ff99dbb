"""What Kaloom's podagent left: its records read as hostile files, and moved aside once they are taken over."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any, NoReturn

import pytest

from podagent.errors import StoreError
from podagent.takeover.kaloom import Inherited, KaloomPredecessor
from unit.factory import attachment, key

POD = key()
DATA = {
    "Namespace": "default", "PodName": "web", "SandboxID": "5a", "NetnsPath": "/proc/7/ns/net", "NetworkName": "red",
    "IfMAC": "",
}  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Path:
    directory = tmp_path / "configstore"
    directory.mkdir()
    return directory


def write(store: Path, name: str = "web-red", state: str = "Active", **changes: Any) -> Path:
    file = store / f"{name}.json"
    data = {**DATA, **changes}
    record = {"Expected": {"Optype": "Add", "Data": data}, "Running": {"State": state, "Data": data}}
    file.write_text(json.dumps(record))
    return file


def test_reads_what_was_attached_and_what_was_half_done(store: Path) -> None:
    red, green = write(store), write(store, "web-green", "Dirty", NetworkName="green", IfMAC="02:AA:00:00:00:01")
    assert KaloomPredecessor(store).of(POD) == [
        Inherited(green, "default", "web", attachment("green", mac="02:aa:00:00:00:01"), "5a", complete=False),
        Inherited(red, "default", "web", attachment("red"), "5a", complete=True),
    ]


def test_leaves_out_what_was_not_attached_and_a_pod_of_the_same_name_in_another_namespace(store: Path) -> None:
    file = store / "web-red.json"
    file.write_text('{"Expected": {"Optype": "Delete", "Data": null}, "Running": {"State": "Nil", "Data": null}}')
    write(store, "tenant-red", Namespace="tenant")
    assert KaloomPredecessor(store).of(POD) == []
    assert file.exists()
    never = KaloomPredecessor(store / "none")
    assert (never.of(POD), never.is_empty()) == ([], True)


def test_moves_aside_what_was_taken_over_and_nothing_else(store: Path) -> None:
    write(store)
    write(store, "other-red", PodName="other")
    predecessor = KaloomPredecessor(store)
    predecessor.settled(POD)
    assert predecessor.of(POD) == []
    assert [path.name for path in store.iterdir()] == ["other-red.json"]
    assert [path.name for path in (store.parent / "configstore.taken-over").iterdir()] == ["web-red.json"]


@pytest.mark.parametrize(
    "content",
    [
        b"", b"\xff", b"[]", b"7", b'{"Running": null}', b'{"Running": {"State": "Active", "Data": null}}', b"[" * 9000,
        b'{"Running": {"State": "Busy", "Data": {}}}', b"x" * 70_000,
    ],
)  # fmt: skip
def test_a_file_that_is_no_record_is_reported_and_left_alone(
    store: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    file = store / "web-red.json"
    file.write_bytes(content)
    good = write(store, "web-green", NetworkName="green")
    assert [each.file for each in KaloomPredecessor(store).of(POD)] == [good]
    assert str(file) in caplog.text
    assert file.read_bytes() == content


@pytest.mark.parametrize(
    "changes",
    [
        {"NetworkName": "../red"}, {"Namespace": "a;b"}, {"PodName": None}, {"IfMAC": "00:11;K8S_POD_NAMESPACE=victim"},
        {"SandboxID": 7}, {"IfMAC": 7},
    ],
)  # fmt: skip
def test_a_record_with_a_name_that_nothing_may_have_is_refused(
    store: Path, caplog: pytest.LogCaptureFixture, changes: dict[str, Any]
) -> None:
    write(store, **changes)
    assert KaloomPredecessor(store).of(POD) == []
    assert "cannot be taken over" in caplog.text


@pytest.mark.parametrize("call", ["iterdir", "read_bytes"])
def test_records_that_cannot_be_read_now_are_not_taken_for_none(
    store: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def fail(path: Path) -> NoReturn:
        raise OSError(errno.ENFILE, os.strerror(errno.ENFILE))

    write(store)
    with monkeypatch.context() as patched:
        patched.setattr(Path, call, fail)
        with pytest.raises(StoreError, match="Too many open files"):
            KaloomPredecessor(store)
