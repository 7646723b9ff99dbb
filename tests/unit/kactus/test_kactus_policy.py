"""The policy for definitions in a call of kactus: rules from its configuration, attachments in use from its files."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest

from podagent.foreign import Json
from podagent.host.claims import LinkClaims
from podagent.kactus import policy
from unit.failing import FailingCalls
from unit.kactus.scripted import PodNode

BRIDGE: Json = {"type": "bridge", "bridge": "br-red", "cniVersion": "0.4.0", "name": "red-net"}
OF_RED: Json = {**BRIDGE, "networkName": "red", "kactusDefinition": "shop/red"}
RESTRICT = {"definitionPolicy": "restrict"}


@pytest.fixture(autouse=True)
def host(node: PodNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has a bridge that nobody made, for which `node` has a definition."""

    def create(name: str) -> None:
        raise FileExistsError(name)

    claims = LinkClaims(str(tmp_path / "links"), lambda name: 7, create)
    monkeypatch.setattr(policy, "LinkClaims", lambda: claims)
    node.define("bridge")
    spec = {"plugin": "bridge", "config": json.dumps(BRIDGE)}
    node.objects["/apis/kaloom.com/v1/namespaces/shop/networks/red"] = {"spec": spec}
    node.annotate({"name": "red"})


def test_a_refusal_names_the_key_of_the_configuration(node: PodNode) -> None:
    assert "link br-red of the host" in (text := node.refused(7, "ADD", conf=node.conf(**RESTRICT)))
    assert "allowedLinks" in text
    assert node.kept == []


@pytest.mark.parametrize("rules", [{"allowedLinks": ["br-*"]}, {"trustedNamespaces": ["shop"]}])
def test_the_configuration_allows(node: PodNode, rules: Json) -> None:
    node.add(conf=node.conf(**RESTRICT, **rules))
    assert node.kept_names == ["default", "red"]


def test_the_bridge_and_the_name_of_what_is_attached_already_stay(node: PodNode) -> None:
    node.container = "c0"
    node.keep(
        OF_RED, {**OF_RED, "kactusDefinition": "shop/other", "plugins": "damaged"}, {**BRIDGE, "networkName": "x"}
    )
    (node.cni_dir / "c9").write_text("[{damaged")
    node.container = "c1"
    node.add(conf=node.conf(**RESTRICT))
    assert node.kept[1]["name"] == "red-net"


def test_makers_of_bridges_that_cannot_be_read_fail_the_call(node: PodNode, tmp_path: Path) -> None:
    (tmp_path / "links").write_text("")
    assert "links" in node.refused(5, "ADD", conf=node.conf(**RESTRICT))


def test_the_nodes_own_plugins_are_refused_wherever_the_definition_is(node: PodNode) -> None:
    node.define("master")
    node.annotate({"name": "master"})
    assert "system plugin" in node.refused(7, "ADD", conf=node.conf())


MAC = "02:00:00:00:00:0a"


def test_the_mac_address_of_a_pod_of_another_namespace_is_refused(node: PodNode) -> None:
    args = "IgnoreUnknown=1;K8S_POD_NAMESPACE={};K8S_POD_NAME=web;K8S_POD_NETWORK_NAMESPACE=shop"
    for namespace, container in (("shop", "c0"), ("shop", "c1")):
        node.container = container
        node.links.clear()
        node.add("red", args=f"{args.format(namespace)};K8S_POD_IFMAC={MAC}")
    node.container = "c2"
    node.links.clear()
    refused = node.refused(7, "ADD", "red", args=f"{args.format('elsewhere')};K8S_POD_IFMAC={MAC}")
    assert f"{MAC} is in use" in refused
    assert "allowMac" in refused
    assert node.kept == []


@pytest.mark.parametrize(
    ("below", "code", "fault"),
    [
        ("{}/c1", 5, "cannot use {}/c1: Input/output error"),
        ("/sys/class/net/", 11, "link br-red of the host cannot be"),
    ],
)
def test_addresses_of_others_that_cannot_be_read_fail_the_call(
    node: PodNode, monkeypatch: pytest.MonkeyPatch, below: str, code: int, fault: str
) -> None:
    node.start("red")
    FailingCalls(monkeypatch, below.format(node.cni_dir)).fail(0, errno.EIO)
    node.container = "c2"
    node.links.clear()
    args = f"IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_IFMAC={MAC}"
    assert node.refused(code, "ADD", "red", args=args).startswith(fault.format(node.cni_dir))
    assert node.kept == []
