"""The kubelet starts a pod: real interfaces for the networks of its annotation."""

from __future__ import annotations

import pytest

from functional.expectations import ifname
from functional.kactus.sandboxes import Sandbox, SandboxFactory
from lab.networks import Network, Networks

pytestmark = pytest.mark.root

MAC, SECOND_MAC = "02:00:5e:00:53:01", "02:00:5e:00:53:02"


def address(sandbox: Sandbox, interface: str) -> str:
    (found,) = sandbox.links()[interface].addresses
    return found


def test_a_container_without_networks_gets_the_default_interface_alone(
    sandbox: SandboxFactory, master: Network
) -> None:
    for container in (sandbox(pod="web"), sandbox()):  # the second one is no pod of Kubernetes
        answer = container.start()
        assert answer.ok, answer
        assert list(container.links()) == ["eth0"]
        assert master.holds(address(container, "eth0"))
        assert answer.addresses == [address(container, "eth0")]
        assert container.saved_names() == ["default"]
        assert container.end().ok
        container.assert_nothing_left()


def test_every_network_gets_its_own_interface_with_its_mac_address_beside_the_default_one(
    sandbox: SandboxFactory, networks: Networks
) -> None:
    red, chain = networks.bridge(), networks.bridge(tuning=True)
    entries = [{"name": red.name, "ifMac": MAC}, {"name": chain.name, "ifMac": SECOND_MAC.upper()}]
    pod = sandbox(entries)
    answer = pod.start()
    assert answer.ok, answer
    links = pod.links()
    assert set(links) == {"eth0", ifname(red), ifname(chain)}
    assert (links[ifname(red)].mac, links[ifname(chain)].mac) == (MAC, SECOND_MAC)
    assert links["eth0"].mac not in (MAC, SECOND_MAC)
    assert red.holds(address(pod, ifname(red)))
    assert chain.holds(address(pod, ifname(chain)))
    assert answer.addresses == [address(pod, "eth0")]
    assert pod.saved_names() == ["default", red.name, chain.name]
    again = pod.start()
    assert (again.printed, pod.links()) == (answer.printed, links)


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
