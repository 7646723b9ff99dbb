"""What kactus does when the agent names one network of a running pod."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from functional.expectations import ifname
from functional.kactus.sandboxes import Sandbox, SandboxFactory
from lab.apiserver import ApiServer
from lab.kactus import Kactus
from lab.networks import Network, Networks
from lab.waiting import eventually

pytestmark = pytest.mark.root

MAC = "02:00:5e:00:53:03"


@pytest.fixture
def red(networks: Networks) -> Network:
    return networks.bridge("red")


@pytest.fixture
def pod(sandbox: SandboxFactory) -> Sandbox:
    """A pod that runs, with its default interface."""
    running: Sandbox = sandbox([])
    assert running.start().ok
    return running


def test_one_network_comes_and_goes_and_its_result_is_printed(
    pod: Sandbox, red: Network, networks: Networks, master: Network
) -> None:
    default = pod.links()
    for network in (red, networks.bridge("chain", tuning=True)):
        answer = pod.attach(network, MAC)
        assert answer.ok, answer
        link = pod.links()[ifname(network)]
        assert (link.mac, link.addresses) == (MAC, tuple(answer.addresses))
        assert MAC in [interface.get("mac") for interface in answer.printed["interfaces"]]
        assert network.holds(answer.addresses[0])
        assert pod.saved_names() == ["default", network.name]
        assert pod.attach(network, MAC).printed == answer.printed
        assert pod.detach(network).ok
        assert pod.links() == default
        assert (pod.saved_names(), pod.leases(network), pod.leases(master)) == (["default"], [], ["eth0"])


@pytest.mark.promise(
    "kactus: pod object, definition, API server, kubeconfig and namespace are gone on DEL",
    "DEL succeeds and releases the addresses",
)
def test_detaching_needs_no_pod_definition_server_kubeconfig_or_namespace(
    pod: Sandbox, red: Network, networks: Networks, api: ApiServer, kactus: Kactus, master: Network
) -> None:
    green = networks.bridge("green")
    assert pod.attach(red).ok
    assert pod.attach(green).ok
    api.delete("pods", "default", pod.pod)
    networks.undefine(red)
    networks.undefine(green)
    api.stop()
    kactus.kubeconfig = "/nowhere/kubeconfig"
    assert pod.detach(red).ok
    assert pod.leases(red) == []
    pod.destroy()
    assert pod.detach(green).ok
    assert pod.leases(green) == []
    assert pod.end(netns="").ok
    assert pod.leases(master) == []
    assert kactus.files() == []


@pytest.fixture
def process(sandbox: SandboxFactory) -> Iterator[tuple[Sandbox, str]]:
    """A sandbox whose namespace is known by a process in it, as Docker's are; and that path."""
    pod: Sandbox = sandbox([])
    inside = subprocess.Popen(["nsenter", f"--net={pod.netns}", "sleep", "600"])
    yield pod, f"/proc/{inside.pid}/ns/net"
    inside.kill()
    inside.wait()


def test_a_namespace_may_be_named_by_a_process_in_it(
    process: tuple[Sandbox, str], red: Network, networks: Networks
) -> None:
    pod, path = process
    eventually(lambda: Path(path).stat().st_ino == Path(pod.netns).stat().st_ino, 10, "the process to be inside")
    green = networks.bridge("green")
    pod.ip("link", "add", ifname(green), "type", "bridge")
    assert pod.start(netns=path).ok
    first = pod.attach(red, netns=path)
    assert first.ok
    assert pod.attach(red, netns=path).printed == first.printed
    assert "already exists" in pod.attach(green, netns=path).message
    assert pod.check(netns=path).ok
    assert pod.detach(red, netns=path).ok
    assert set(pod.links()) == {"eth0", ifname(green)}
    assert pod.end(netns="/proc/999999999/ns/net").ok
    pod.destroy()
