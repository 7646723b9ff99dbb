"""The reference plugins at work in a real network namespace."""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from lab.links import Link, links_of
from lab.networks import Network, Networks
from lab.session import MARK
from podagent.cni.runtime import CniRuntime
from podagent.errors import PluginError
from podagent.model import Invocation, Target, result_addresses
from podagent.netconf import parse

pytestmark = pytest.mark.root

PLUGIN_PATH = ("/opt/cni/bin", "/usr/lib/cni")
MAC = "02:00:5e:00:53:07"
RUNTIME = CniRuntime(30, os.environ, print)


@dataclass(frozen=True)
class Sandbox:
    """A network namespace, and the networks to attach it to."""

    name: str
    networks: Networks

    @property
    def target(self) -> Target:
        return Target(f"sandbox-{self.name}", f"/run/netns/{self.name}", "net0")

    def call(self, version: str, **changed: Any) -> tuple[Invocation, Network]:
        """A chain of the bridge and the tuning plugin."""
        network = self.networks.bridge(cni_version=version, tuning=True)
        return Invocation(parse(network.config, "test"), PLUGIN_PATH, (("IgnoreUnknown", "1"),), **changed), network

    def link(self) -> Link | None:
        return links_of(self.target.netns).get("net0")


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    made = Sandbox(f"{MARK}{uuid.uuid4().hex[:6]}", Networks(None))
    subprocess.run(["ip", "netns", "add", made.name], check=True)
    yield made
    subprocess.run(["ip", "netns", "del", made.name], check=True)
    made.networks.remove_all()


@pytest.mark.parametrize("version", ["0.3.1", "0.4.0", "1.0.0"])
def test_an_interface_comes_with_its_address_and_mac_and_goes_with_its_lease(sandbox: Sandbox, version: str) -> None:
    call, network = sandbox.call(version, capability_args={"mac": MAC})
    result = RUNTIME.add(call, sandbox.target)
    link = sandbox.link()
    assert link
    assert result["cniVersion"] == version
    assert result_addresses(result) == link.addresses == (f"{network.leases()[0].ip}/24",)
    assert link.mac == MAC
    assert MAC in [interface.get("mac") for interface in result["interfaces"]]
    RUNTIME.delete(call, sandbox.target, result)
    assert (sandbox.link(), network.leases()) == (None, [])


def test_deleting_again_is_a_success(sandbox: Sandbox) -> None:
    call, network = sandbox.call("1.0.0")
    result = RUNTIME.add(call, sandbox.target)
    for known in (result, result, None):
        RUNTIME.delete(call, sandbox.target, known)
    assert network.leases() == []


def test_the_lease_is_released_when_the_namespace_is_gone(sandbox: Sandbox) -> None:
    call, network = sandbox.call("0.4.0")
    result = RUNTIME.add(call, sandbox.target)
    RUNTIME.delete(call, sandbox.target._replace(netns=""), result)
    assert network.leases() == []


def test_check_passes_until_the_interface_is_gone(sandbox: Sandbox) -> None:
    call, _ = sandbox.call("1.0.0")
    result = RUNTIME.add(call, sandbox.target)
    RUNTIME.check(call, sandbox.target, result)
    subprocess.run(["ip", "-netns", sandbox.name, "link", "del", "net0"], check=True)
    with pytest.raises(PluginError):
        RUNTIME.check(call, sandbox.target, result)


def test_adding_twice_is_an_error_of_the_plugin_and_leaves_the_first_alone(sandbox: Sandbox) -> None:
    call, _ = sandbox.call("1.0.0")
    RUNTIME.add(call, sandbox.target)
    before = sandbox.link()
    with pytest.raises(PluginError) as raised:
        RUNTIME.add(call, sandbox.target)
    assert raised.value.plugin == "bridge"
    assert sandbox.link() == before


def test_version_1_1_0_is_served_or_is_the_plugins_error_number_1(sandbox: Sandbox) -> None:
    try:
        outcome = RUNTIME.add(sandbox.call("1.1.0")[0], sandbox.target)["cniVersion"]
    except PluginError as error:
        outcome = error.code
    assert outcome in ("1.1.0", 1)
