"""The reference plugins at work in a real network namespace."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lab.session import MARK
from podagent.cni.runtime import CniRuntime
from podagent.errors import PluginError
from podagent.foreign import Json
from podagent.model import Invocation, Target, result_addresses
from podagent.netconf import parse

pytestmark = pytest.mark.root

PLUGIN_PATH = ("/opt/cni/bin", "/usr/lib/cni")
MAC = "02:00:5e:00:53:07"


def ip(*arguments: str) -> Any:
    done = subprocess.run(["ip", "-json", *arguments], check=True, capture_output=True, text=True)
    return json.loads(done.stdout or "[]")


@dataclass(frozen=True)
class Node:
    """A network namespace as a sandbox would have it, and names of bridge and network that only this test uses."""

    tag: str
    runtime: CniRuntime

    @property
    def target(self) -> Target:
        return Target(f"sandbox-{self.tag}", f"/var/run/netns/{self.tag}", "net0")

    def call(self, version: str, *more: Json, **changed: Any) -> Invocation:
        ipam = {"type": "host-local", "subnet": "10.213.7.0/24"}
        bridge = {"type": "bridge", "bridge": f"br{self.tag}", "ipam": ipam}
        conf = {"cniVersion": version, "name": f"net-{self.tag}", "plugins": [bridge, *more]}
        return Invocation(parse(conf, "test"), PLUGIN_PATH, (("IgnoreUnknown", "1"),), **changed)

    def link(self) -> Json | None:
        links = [link for link in ip("-netns", self.tag, "addr") if link["ifname"] == "net0"]
        return links[0] if links else None

    def addresses(self) -> list[str]:
        info = (self.link() or {}).get("addr_info", [])
        return [f"{entry['local']}/{entry['prefixlen']}" for entry in info if entry["family"] == "inet"]

    def leases(self) -> list[str]:
        directory = Path(f"/var/lib/cni/networks/net-{self.tag}")
        return [path.name for path in directory.glob("10.*")]


@pytest.fixture
def node() -> Iterator[Node]:
    tag = f"{MARK}{uuid.uuid4().hex[:6]}"
    ip("netns", "add", tag)
    yield Node(tag, CniRuntime(30, os.environ, print))
    ip("netns", "del", tag)
    with suppress(subprocess.CalledProcessError):
        ip("link", "del", f"br{tag}")
    shutil.rmtree(f"/var/lib/cni/networks/net-{tag}", ignore_errors=True)


@pytest.mark.parametrize("version", ["0.3.1", "0.4.0", "1.0.0"])
def test_an_interface_comes_with_its_address_and_goes_with_its_lease(node: Node, version: str) -> None:
    call = node.call(version)
    result = node.runtime.add(call, node.target)
    assert result["cniVersion"] == version
    assert list(result_addresses(result)) == node.addresses() == ["10.213.7.2/24"]
    assert node.leases() == ["10.213.7.2"]
    node.runtime.delete(call, node.target, result)
    assert (node.link(), node.leases()) == (None, [])


@pytest.mark.parametrize("version", ["0.3.1", "0.4.0", "1.0.0"])
def test_a_chain_sets_the_mac_that_was_asked_for(node: Node, version: str) -> None:
    call = node.call(version, {"type": "tuning", "capabilities": {"mac": True}}, capability_args={"mac": MAC})
    result = node.runtime.add(call, node.target)
    link = node.link()
    assert link is not None
    assert link["address"] == MAC
    assert MAC in [interface.get("mac") for interface in result["interfaces"]]
    node.runtime.delete(call, node.target, result)
    assert (node.link(), node.leases()) == (None, [])


def test_deleting_again_is_a_success(node: Node) -> None:
    call = node.call("1.0.0", {"type": "tuning"})
    result = node.runtime.add(call, node.target)
    for known in (result, result, None):
        node.runtime.delete(call, node.target, known)
    assert node.leases() == []


def test_the_lease_is_released_when_the_namespace_is_gone(node: Node) -> None:
    call = node.call("0.4.0")
    result = node.runtime.add(call, node.target)
    node.runtime.delete(call, Target(node.target.container_id, "", "net0"), result)
    assert node.leases() == []


def test_check_passes_until_the_interface_is_gone(node: Node) -> None:
    call = node.call("1.0.0", {"type": "tuning"})
    result = node.runtime.add(call, node.target)
    node.runtime.check(call, node.target, result)
    ip("-netns", node.tag, "link", "del", "net0")
    with pytest.raises(PluginError):
        node.runtime.check(call, node.target, result)


def test_adding_twice_is_an_error_of_the_plugin_and_leaves_the_first_alone(node: Node) -> None:
    call = node.call("1.0.0")
    node.runtime.add(call, node.target)
    with pytest.raises(PluginError) as raised:
        node.runtime.add(call, node.target)
    assert raised.value.plugin == "bridge"
    assert node.addresses() == ["10.213.7.2/24"]


def test_version_1_1_0_is_served_or_is_the_plugins_error_number_1(node: Node) -> None:
    try:
        outcome = node.runtime.add(node.call("1.1.0"), node.target)["cniVersion"]
    except PluginError as error:
        outcome = error.code
    assert outcome in ("1.1.0", 1)
