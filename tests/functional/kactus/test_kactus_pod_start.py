"""What kactus makes of a pod's annotation when the kubelet starts the pod."""

from __future__ import annotations

import json
from typing import Any

import pytest

from functional.expectations import ifname
from functional.kactus.sandboxes import Sandbox, SandboxFactory
from lab.kactus import Kactus
from lab.networks import Network, Networks
from lab.plugins import PluginDir

pytestmark = pytest.mark.root

MAC = "02:00:5e:00:53:01"


def entries(*networks: Network, **more: Any) -> list[dict[str, Any]]:
    return [{"name": network.name, **more} for network in networks]


def address(sandbox: Sandbox, interface: str) -> str:
    (found,) = sandbox.links()[interface].addresses
    return found


@pytest.mark.parametrize("annotation", [None, "", "[]", " [ ] "])
def test_a_pod_without_networks_gets_the_default_interface_alone(
    sandbox: SandboxFactory, master: Network, annotation: str | None
) -> None:
    pod = sandbox(annotation, pod="web")
    answer = pod.start()
    assert answer.ok, answer
    assert list(pod.links()) == ["eth0"]
    assert master.holds(address(pod, "eth0"))
    assert answer.addresses == [address(pod, "eth0")]
    assert pod.saved_names() == ["default"]
    assert pod.end().ok
    pod.assert_nothing_left(master)


def test_what_is_not_a_pod_of_kubernetes_gets_the_default_interface(sandbox: SandboxFactory, master: Network) -> None:
    container = sandbox()
    assert container.start().ok
    assert list(container.links()) == ["eth0"]
    assert container.end().ok
    container.assert_nothing_left(master)


def test_every_network_gets_its_own_interface_beside_the_default_one(
    sandbox: SandboxFactory, networks: Networks, master: Network
) -> None:
    red, green = networks.bridge(), networks.bridge()
    pod = sandbox(entries(red, green))
    answer = pod.start()
    assert answer.ok, answer
    assert set(pod.links()) == {"eth0", ifname(red), ifname(green)}
    assert red.holds(address(pod, ifname(red)))
    assert green.holds(address(pod, ifname(green)))
    assert answer.addresses == [address(pod, "eth0")]
    assert pod.saved_names() == ["default", red.name, green.name]
    assert pod.end().ok
    pod.assert_nothing_left(master, red, green)


def test_lower_layers_come_first_and_go_last(
    sandbox: SandboxFactory, networks: Networks, plugins: PluginDir, master: Network
) -> None:
    upper, lower = networks.bridge(), networks.bridge()
    pod = sandbox([{"name": upper.name}, {"name": lower.name, "upperLayers": [upper.name]}])
    plugins.record("bridge")
    assert pod.start().ok
    assert pod.end().ok
    ups = [call.env["CNI_IFNAME"] for call in plugins.calls("ADD")]
    downs = [call.env["CNI_IFNAME"] for call in plugins.calls("DEL")]
    assert ups == ["eth0", ifname(lower), ifname(upper)]
    assert downs == ups[::-1]
    pod.assert_nothing_left(master, upper, lower)


def test_a_primary_network_takes_the_default_interface_in_the_masters_place(
    sandbox: SandboxFactory, networks: Networks, master: Network
) -> None:
    primary, other = networks.bridge(), networks.bridge()
    pod = sandbox([{"name": other.name}, {"name": primary.name, "isPrimary": True, "ifMac": MAC}])
    answer = pod.start()
    assert answer.ok, answer
    assert set(pod.links()) == {"eth0", ifname(other)}
    assert primary.holds(address(pod, "eth0"))
    assert pod.links()["eth0"].mac == MAC
    assert answer.addresses == [address(pod, "eth0")]
    assert (pod.leases(master), pod.leases(primary)) == ([], ["eth0"])
    assert pod.end().ok
    pod.assert_nothing_left(master, primary, other)


def test_two_primary_networks_are_refused_before_anything_is_done(
    sandbox: SandboxFactory, networks: Networks, plugins: PluginDir, master: Network
) -> None:
    red, green = networks.bridge(), networks.bridge()
    pod = sandbox(entries(red, green, isPrimary=True))
    plugins.record("bridge")
    answer = pod.start()
    assert answer.code == 7
    assert "only one network can be primary" in answer.message
    assert plugins.calls() == []
    pod.assert_nothing_left(master, red, green)


def test_networks_that_the_agent_is_to_skip_are_attached_too(
    sandbox: SandboxFactory, networks: Networks, master: Network
) -> None:
    red = networks.bridge()
    pod = sandbox(entries(red, podagentSkip=True))
    assert pod.start().ok
    assert set(pod.links()) == {"eth0", ifname(red)}
    assert pod.end().ok
    pod.assert_nothing_left(master, red)


def test_the_mac_address_asked_for_is_the_interfaces_with_one_plugin_and_with_a_chain(
    sandbox: SandboxFactory, networks: Networks, master: Network
) -> None:
    single, chain = networks.bridge(), networks.bridge(tuning=True)
    second = "02:00:5e:00:53:02"
    pod = sandbox([{"name": single.name, "ifMac": MAC}, {"name": chain.name, "ifMac": second.upper()}])
    assert pod.start().ok
    links = pod.links()
    assert (links[ifname(single)].mac, links[ifname(chain)].mac) == (MAC, second)
    assert links["eth0"].mac not in (MAC, second)
    assert pod.end().ok
    pod.assert_nothing_left(master, single, chain)


def test_delegates_get_the_mac_address_and_the_pod_as_kalooms_get_them(
    sandbox: SandboxFactory, networks: Networks, plugins: PluginDir
) -> None:
    red = networks.bridge()
    pod = sandbox(entries(red, ifMac=MAC), pod="web")
    plugins.record("bridge")
    assert pod.start().ok
    default, network = plugins.calls("ADD")
    known = ["IgnoreUnknown=1", "K8S_POD_NAMESPACE=default", "K8S_POD_NAME=web", f"K8S_POD_INFRA_CONTAINER_ID={pod.id}"]
    assert default.args == known
    assert network.args == [*known, f"CNI_IFMAC={MAC}", f"MAC={MAC}"]
    assert (network.config["type"], network.config["networkName"]) == ("bridge", red.name)
    assert not [key for key in network.config if key.startswith("kactus")]
    assert pod.end().ok


def test_starting_again_is_a_success_that_changes_nothing(
    sandbox: SandboxFactory, networks: Networks, master: Network
) -> None:
    red = networks.bridge()
    pod = sandbox(entries(red))
    first, links = pod.start(), pod.links()
    again = pod.start()
    assert again.printed == first.printed
    assert pod.links() == links
    assert pod.end().ok
    pod.assert_nothing_left(master, red)


def test_the_result_is_in_the_version_that_was_asked_for(sandbox: SandboxFactory, kactus: Kactus) -> None:
    for version in ("0.2.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"):
        container = sandbox()
        own = {**kactus.master, "cniVersion": "1.0.0", "masterPlugin": True}
        conf = kactus.conf(cniVersion=version, delegates=[own])
        answer = container.start(conf=conf)
        assert answer.printed["cniVersion"] == version
        told = [answer.printed["ip4"]["ip"]] if version < "0.3" else answer.addresses
        assert told == [address(container, "eth0")]
        assert container.end(conf=conf).ok


def test_a_definition_is_taken_from_the_pods_namespace_before_the_default_one(
    sandbox: SandboxFactory, networks: Networks, master: Network
) -> None:
    shared, own = networks.bridge("blue", "default"), networks.bridge("blue", "team-a")
    theirs, elsewhere = sandbox([{"name": "blue"}], namespace="team-a"), sandbox([{"name": "blue"}], namespace="team-b")
    asking = sandbox([{"name": "blue", "namespace": "default"}], pod="asking", namespace="team-a")
    for pod, network in ((theirs, own), (elsewhere, shared), (asking, shared)):
        assert pod.start().ok
        assert network.holds(address(pod, ifname("blue")))
        assert pod.end().ok
        pod.assert_nothing_left(master, shared, own)


def test_a_pod_may_not_use_the_definitions_of_another_namespace(
    sandbox: SandboxFactory, networks: Networks, master: Network
) -> None:
    secret = networks.bridge("secret", "team-a")
    pod = sandbox([{"name": "secret", "namespace": "team-a"}], namespace="team-b")
    answer = pod.start()
    assert answer.code == 7
    assert "team-a" in answer.message
    pod.assert_nothing_left(master, secret)


def test_the_state_file_lists_the_delegates_with_their_networks(
    sandbox: SandboxFactory, networks: Networks, master: Network
) -> None:
    red = networks.bridge(mtu=1400, vlan=0)
    pod = sandbox(entries(red))
    assert pod.start().ok
    path = pod.kactus.cni_dir / pod.id
    assert path.stat().st_mode & 0o777 == 0o600
    default, network = json.loads(path.read_text())
    assert default.items() >= ({**master.config, "masterPlugin": True}).items()
    assert network.items() >= ({**red.config, "networkName": red.name}).items()
    assert "masterPlugin" not in network
    assert pod.end().ok
