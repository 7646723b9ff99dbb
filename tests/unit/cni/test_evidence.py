"""Only root's files and the plugins' own checks prove that an interface belongs to a network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from podagent.cni import plugin
from podagent.cni.evidence import AttachmentEvidence
from podagent.cni.runtime import CniRuntime
from podagent.errors import NetConfError, StoreError
from podagent.foreign import Json
from podagent.model import Invocation, Record, Via
from podagent.netconf import NetConf
from unit.cni.plugins import RESULT, Plugins
from unit.factory import record

KEPT: Json = {"type": "bridge", "networkName": "red", "prevResult": RESULT}


class Node(Plugins):
    """Its system plugin is kactus unless a test changes `conf`."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self.directory = directory
        for name in ("bridge", "tuning", "kactus", "host-local"):
            (directory / name).touch()
        self.conf = NetConf(
            {"cniVersion": "0.4.0", "name": "n", "plugins": [{"type": "kactus", "cniDir": str(directory)}]}
        )

    def keep(self, content: str) -> None:
        (self.directory / "sandbox-7").write_text(content)

    def result(self, of: Record) -> Json | None:
        runtime = CniRuntime(5, {}, lambda *_: None)
        return AttachmentEvidence(runtime, lambda: self.conf).result_of(of)

    def red(self, via: Via, *plugins: Json, version: str = "0.4.0", **flags: Any) -> Record:
        netconf = NetConf({"cniVersion": version, "name": "red", "plugins": list(plugins), **flags})
        return record("red", via=via, invocation=Invocation(netconf, (str(self.directory),)))


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Node:
    made = Node(tmp_path)
    monkeypatch.setattr(plugin, "run", made.run)
    return made


@pytest.mark.parametrize("via", list(Via))
def test_kactus_own_record_proves_it(node: Node, via: Via) -> None:
    node.keep(json.dumps([{"type": "bridge", "masterPlugin": True}, KEPT]))
    assert node.result(node.red(via, {"type": "bridge"})) == RESULT
    node.keep(json.dumps([{"type": "bridge", "networkName": "red"}]))  # Kaloom's keeps no result
    assert node.result(node.red(via, {"type": "bridge"})) == {}
    assert node.calls == []


@pytest.mark.parametrize(
    ("plugin", "believed"),
    [
        ({"type": "kactus"}, True),
        ({"type": "acme-cni", "delegates": [{"type": "bridge"}]}, True),
        ({"type": "bridge"}, False),
        ({"type": "multus", "delegates": [{"type": "bridge"}]}, False),
    ],
)
def test_only_the_record_of_a_kactus_under_any_name_counts(node: Node, plugin: Json, believed: bool) -> None:
    node.keep(json.dumps([KEPT]))
    node.conf = NetConf({**node.conf.json, "plugins": [{**plugin, "cniDir": str(node.directory)}]})
    evidence = AttachmentEvidence(CniRuntime(5, {}, lambda *_: None), lambda: node.conf)
    assert [evidence.has_attached("sandbox-7", name) for name in ("red", "green")] == [believed, False]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[[]]",
        json.dumps([KEPT, "damaged"]),
        json.dumps([{**KEPT, "networkName": "green"}]),
        json.dumps([{**KEPT, "kactusAdding": True}]),
    ],
)
def test_another_or_damaged_record_proves_nothing(node: Node, content: str) -> None:
    node.keep(content)
    assert node.result(node.red(Via.DELEGATE, {"type": "bridge"})) is None


def test_a_record_that_cannot_be_read_is_an_error(node: Node) -> None:
    (node.directory / "sandbox-7").symlink_to("sandbox-7")
    with pytest.raises(StoreError, match="sandbox-7, kactus's record: Too many levels"):
        node.result(node.red(Via.DELEGATE, {"type": "bridge"}))


def test_a_file_of_that_name_proves_nothing_where_kactus_is_not_the_system_plugin(node: Node) -> None:
    node.keep(json.dumps([KEPT]))
    node.conf = NetConf({**node.conf.json, "plugins": [{"type": "bridge", "cniDir": str(node.directory)}]})
    assert node.result(node.red(Via.DELEGATE, {"type": "bridge"})) is None

    def missing() -> NetConf:
        raise NetConfError("no valid CNI network configuration")

    runtime = CniRuntime(5, {}, lambda *_: None)
    assert AttachmentEvidence(runtime, missing).result_of(node.red(Via.DELEGATE, {"type": "bridge"})) is None


def test_an_address_that_ipam_keeps_for_the_interface_proves_it(node: Node) -> None:
    local: Json = {"type": "bridge", "ipam": {"type": "host-local"}}
    chain = node.red(Via.DELEGATE, local, {"type": "tuning"})
    assert node.result(chain) == {}
    assert [call.split()[:2] for call in node.calls] == [["CHECK", "host-local"]]
    node.fail("CHECK host-local")
    assert node.result(chain) is None


@pytest.mark.parametrize("plugins", [[{"type": "bridge"}], [{"type": "bridge", "ipam": {}}]])
def test_without_ipam_nothing_proves_it(node: Node, plugins: list[Json]) -> None:
    assert node.result(node.red(Via.DELEGATE, *plugins)) is None
    assert (
        node.result(node.red(Via.DELEGATE, {"type": "bridge", "ipam": {"type": "host-local"}}, version="0.3.1")) is None
    )
    assert node.calls == []


def test_the_system_plugins_check_proves_it(node: Node) -> None:
    kactus: Json = {"type": "kactus"}
    assert node.result(node.red(Via.SYSTEM, kactus)) == {}
    assert [call.split()[:2] for call in node.calls] == [["CHECK", "kactus"]]
    assert node.result(node.red(Via.SYSTEM, kactus, disableCheck=True)) is None
    assert node.result(node.red(Via.SYSTEM, kactus, version="0.3.1")) is None
    node.fail("CHECK kactus")
    assert node.result(node.red(Via.SYSTEM, kactus)) is None
