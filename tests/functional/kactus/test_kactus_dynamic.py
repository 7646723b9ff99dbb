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
from lab.plugins import PluginDir
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


def test_one_network_comes_and_goes_and_its_result_is_printed(pod: Sandbox, red: Network, master: Network) -> None:
    default = pod.links()
    answer = pod.attach(red)
    assert answer.ok, answer
    link = pod.links()[ifname(red)]
    assert tuple(answer.addresses) == link.addresses
    assert red.holds(answer.addresses[0])
    assert pod.saved_names() == ["default", "red"]
    assert pod.detach(red).ok
    assert pod.links() == default
    assert (pod.saved_names(), pod.leases(red), pod.leases(master)) == (["default"], [], ["eth0"])
    assert pod.end().ok
    pod.assert_nothing_left(red, master)


def test_the_mac_address_asked_for_is_the_interfaces(pod: Sandbox, networks: Networks) -> None:
    chain = networks.bridge(tuning=True)
    for network in (networks.bridge(), chain):
        answer = pod.attach(network, MAC)
        assert pod.links()[ifname(network)].mac == MAC
        assert MAC in [interface.get("mac") for interface in answer.printed["interfaces"]]
        assert pod.detach(network).ok
    assert pod.end().ok


def test_a_chain_of_plugins_comes_and_goes_as_a_whole(
    pod: Sandbox, networks: Networks, plugins: PluginDir, master: Network
) -> None:
    chain = networks.bridge(tuning=True)
    plugins.record("bridge", "tuning")
    assert pod.attach(chain).ok
    assert pod.detach(chain).ok
    ran = [(call.command, call.config["type"]) for call in plugins.calls()]
    assert ran == [("ADD", "bridge"), ("ADD", "tuning"), ("DEL", "tuning"), ("DEL", "bridge")]
    assert pod.end().ok
    pod.assert_nothing_left(chain, master)


def test_no_pod_object_needs_to_exist_for_attaching_one_network(sandbox: SandboxFactory, red: Network) -> None:
    container = sandbox()
    assert container.attach(red).ok
    assert container.detach(red).ok
    container.assert_nothing_left(red)


def test_attaching_again_is_a_success_with_the_saved_result_and_without_the_server(
    pod: Sandbox, red: Network, api: ApiServer, plugins: PluginDir
) -> None:
    first, before = pod.attach(red), pod.links()
    api.stop()
    plugins.record("bridge")
    again = pod.attach(red)
    assert again.ok
    assert again.printed == first.printed
    assert pod.links() == before
    assert plugins.calls() == []
    assert pod.end().ok


def test_an_interface_that_is_not_ours_is_an_error_and_left_alone(pod: Sandbox, red: Network, master: Network) -> None:
    pod.ip("link", "add", ifname(red), "type", "bridge")
    before = pod.links()
    answer = pod.attach(red)
    assert not answer.ok
    assert "already exists" in answer.message
    assert pod.links() == before
    assert pod.saved_names() == ["default"]
    assert pod.end().ok
    assert list(pod.links()) == [ifname(red)]
    assert pod.leases(red, master) == []


def test_an_interface_of_ours_that_has_vanished_is_made_again(pod: Sandbox, red: Network, master: Network) -> None:
    assert pod.attach(red).ok
    pod.ip("link", "del", ifname(red))
    assert pod.attach(red).ok
    assert ifname(red) in pod.links()
    assert pod.leases(red) == [ifname(red)]
    assert pod.saved_names() == ["default", "red"]
    assert pod.end().ok
    pod.assert_nothing_left(red, master)


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


def test_a_changed_definition_does_not_change_how_a_network_is_detached(
    pod: Sandbox, red: Network, networks: Networks, master: Network
) -> None:
    assert pod.attach(red).ok
    networks.undefine(red)
    other = networks.bridge("red")
    assert pod.detach(red).ok
    assert pod.leases(red, other) == []
    assert pod.end().ok
    pod.assert_nothing_left(red, other, master)


def test_detaching_again_or_what_never_was_is_a_success(pod: Sandbox, red: Network, sandbox: SandboxFactory) -> None:
    assert pod.attach(red).ok
    assert [pod.detach(red).ok, pod.detach(red).ok, pod.detach("never-was").ok] == [True] * 3
    assert list(pod.links()) == ["eth0"]
    assert [pod.end().ok, pod.end().ok] == [True] * 2
    unknown = sandbox()
    assert unknown.end().ok
    unknown.assert_nothing_left()


def test_a_network_whose_detaching_failed_is_kept_until_it_succeeds(
    pod: Sandbox, red: Network, plugins: PluginDir, master: Network
) -> None:
    assert pod.attach(red).ok
    plugins.fail("bridge", "DEL", code=11, msg="the switch is away")
    answer = pod.detach(red)
    assert answer.code == 11
    assert "the switch is away" in answer.message
    assert pod.saved_names() == ["default", "red"]
    plugins.restore("bridge")
    assert pod.detach(red).ok
    assert pod.saved_names() == ["default"]
    assert pod.end().ok
    pod.assert_nothing_left(red, master)


def test_a_full_delete_tries_everything_in_reverse_and_keeps_what_failed(
    pod: Sandbox, red: Network, networks: Networks, plugins: PluginDir, master: Network
) -> None:
    flaky, green = networks.custom("flaky", {}), networks.bridge("green")
    plugins.print("flaky", text='{"cniVersion": "0.4.0"}')
    for network in (red, flaky, green):
        assert pod.attach(network).ok
    plugins.fail("flaky", "DEL", msg="the switch is away")
    plugins.record("bridge")
    answer = pod.end()
    assert not answer.ok
    assert "the switch is away" in answer.message
    assert "flaky" in answer.message
    assert [call.env["CNI_IFNAME"] for call in plugins.calls("DEL")] == [ifname(green), ifname(red), "eth0"]
    assert pod.saved_names() == [flaky.name]
    assert pod.links() == {}
    plugins.print("flaky", text="")
    assert pod.end().ok
    pod.assert_nothing_left(red, flaky, green, master)


def test_an_unreadable_state_file_is_set_aside_and_the_default_network_still_given_back(
    pod: Sandbox, kactus: Kactus, master: Network
) -> None:
    (kactus.cni_dir / pod.id).write_text('[{"type": "bri')
    assert pod.end().ok
    assert pod.leases(master) == []
    assert pod.links() == {}
    assert kactus.files() == [f".{pod.id}.unreadable"]


@pytest.fixture
def process(sandbox: SandboxFactory) -> Iterator[tuple[Sandbox, str]]:
    """A sandbox whose namespace is known by a process in it, as Docker's are; and that path."""
    pod: Sandbox = sandbox([])
    inside = subprocess.Popen(["nsenter", f"--net={pod.netns}", "sleep", "600"])
    yield pod, f"/proc/{inside.pid}/ns/net"
    inside.kill()
    inside.wait()


def test_a_namespace_may_be_named_by_a_process_in_it(
    process: tuple[Sandbox, str], red: Network, networks: Networks, master: Network
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
    assert pod.leases(red, green, master) == []
