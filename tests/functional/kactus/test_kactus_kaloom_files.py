"""A node changes over from Kaloom's kactus, and back, with pods running: both understand each other's files.

Kaloom's kactus marshals a list of maps with Go's encoder: compact, keys in alphabetical order, ``<``, ``>`` and ``&``
escaped. Each map is a delegate's configuration as it was given, plus ``type`` and ``networkName`` for a network, and
``masterPlugin`` for a primary one. The delegates of a later call stand before those that were there. No result is kept.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from functional.expectations import ifname
from functional.kactus.sandboxes import Sandbox, SandboxFactory
from lab.kactus import Kactus
from lab.networks import Network, Networks
from lab.plugins import PluginDir

pytestmark = pytest.mark.root

Json = dict[str, Any]


def as_kalooms(command: str, pod: Sandbox, delegate: Json, interface: str) -> None:
    """What Kaloom's kactus does for one delegate: a run of the bare plugin with all that it keeps."""
    env = {"CNI_COMMAND": command, "CNI_CONTAINERID": pod.id, "CNI_NETNS": pod.netns, "CNI_IFNAME": interface}
    env |= {"CNI_PATH": str(pod.kactus.bin_dir), "CNI_ARGS": "IgnoreUnknown=1", "PATH": os.environ["PATH"]}
    plugin = str(pod.kactus.bin_dir / delegate["type"])
    subprocess.run([plugin], input=json.dumps(delegate), env=env, text=True, check=True, capture_output=True)


def of_master(config: Json) -> Json:
    return {**config, "masterPlugin": True}


def of_network(name: str, config: Json) -> Json:
    return {**config, "networkName": name}


def write(pod: Sandbox, *delegates: Json) -> None:
    text = json.dumps(delegates, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    for char in "<>&":
        text = text.replace(char, f"\\u{ord(char):04x}")
    pod.kactus.cni_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    (pod.kactus.cni_dir / pod.id).write_text(text)
    (pod.kactus.cni_dir / pod.id).chmod(0o600)


@pytest.fixture
def changed_over(sandbox: SandboxFactory, networks: Networks, master: Network) -> Sandbox:
    """A pod that Kaloom's kactus gave the default interface, then two networks, one after the other."""
    pod: Sandbox = sandbox([])
    red, green = networks.bridge("red", mtu=1400), networks.bridge("green", labels={"a<b": 0.5})
    delegates = [
        (of_network("green", green.config), ifname("green")),
        (of_network("red", red.config), ifname("red")),
        (of_master(master.config), "eth0"),
    ]
    for delegate, interface in reversed(delegates):
        as_kalooms("ADD", pod, delegate, interface)
    write(pod, *(delegate for delegate, _ in delegates))
    return pod


@pytest.mark.parametrize("is_gone", [False, True])
def test_a_pod_of_kalooms_is_given_back_completely_with_or_without_its_namespace(
    changed_over: Sandbox, is_gone: bool
) -> None:
    pod = changed_over
    assert pod.leases() == sorted([ifname("red"), ifname("green"), "eth0"])
    if is_gone:
        pod.destroy()
    assert pod.end(netns="" if is_gone else pod.netns).ok
    assert is_gone or pod.links() == {}
    assert pod.leases() == []
    assert pod.kactus.files() == []


def test_one_network_of_a_pod_of_kalooms_is_attached_again_without_a_change_or_after_it_was_detached(
    changed_over: Sandbox,
) -> None:
    pod = changed_over
    before, saved = pod.links(), pod.saved
    answer = pod.attach("green")
    assert answer.ok
    assert [each["name"] for each in answer.printed["interfaces"]] == [ifname("green")]
    assert (pod.links(), pod.saved) == (before, saved)
    assert pod.detach("green").ok
    assert set(pod.links()) == {"eth0", ifname("red")}
    assert pod.saved_names() == ["red", "default"]
    assert pod.attach("green").ok
    assert set(pod.links()) == set(before)


def test_a_primary_network_of_kalooms_is_given_back_on_the_default_interface(
    sandbox: SandboxFactory, networks: Networks
) -> None:
    pod, blue = sandbox(), networks.bridge("blue")
    delegate = of_master(of_network("blue", blue.config))
    as_kalooms("ADD", pod, delegate, "eth0")
    write(pod, delegate)
    assert pod.end().ok
    pod.assert_nothing_left()


# Recorded with the configuration of its own documentation, and a network beside it.
RECORDED = (
    '[{"delegate":{"isDefaultGateway":true},"masterPlugin":true,"type":"flannel"},'
    '{"cniVersion":"0.3.1","ipam":{"type":"null"},"master":"eth0","name":"green-net","networkName":"green",'
    '"type":"vlan","vlanId":42}]'
)


def test_a_file_of_kalooms_is_handed_to_the_plugins_as_it_was(
    sandbox: SandboxFactory, kactus: Kactus, plugins: PluginDir
) -> None:
    pod = sandbox()
    for plugin in ("flannel", "vlan"):
        plugins.alias(plugin, Path("/bin/true"))
    kactus.cni_dir.mkdir()
    (kactus.cni_dir / pod.id).write_text(RECORDED)
    assert pod.end().ok
    vlan, flannel = plugins.calls("DEL")
    assert (vlan.env["CNI_IFNAME"], flannel.env["CNI_IFNAME"]) == (ifname("green"), "eth0")
    for call, delegate in zip((flannel, vlan), json.loads(RECORDED), strict=True):
        assert call.config.items() >= delegate.items()
        assert call.config["name"], "plugins insist on the name of a network"


def test_its_files_can_be_read_by_kalooms(sandbox: SandboxFactory, networks: Networks, master: Network) -> None:
    red, blue = networks.bridge(mtu=1400, labels={"rate": 0.25}), networks.bridge()
    plain = sandbox([{"name": red.name}])
    primary = sandbox([{"name": blue.name, "isPrimary": True}])
    for pod, wanted in (
        (plain, [of_master(master.config), of_network(red.name, red.config)]),
        (primary, [of_master(of_network(blue.name, blue.config))]),
    ):
        assert pod.start().ok
        saved = pod.saved
        assert saved is not None
        own = ("kactus", "prevResult")
        assert [{k: v for k, v in each.items() if not k.startswith(own)} for each in saved] == wanted
        # Kaloom's passes every key to the plugin, under the interface name that it makes out of two of them.
        for each in saved:
            interface = "eth0" if each.get("masterPlugin") else ifname(each["networkName"])
            as_kalooms("DEL", pod, each, interface)
        (pod.kactus.cni_dir / pod.id).unlink()
        pod.assert_nothing_left()
