"""An interface that is in the pod already: adopted if it is proven to be the network's, else left alone."""

from __future__ import annotations

import pytest

from podagent.decide.dialects.kaloom_names import interface_name
from podagent.errors import InterfaceForeign
from podagent.model import Phase, Record, Via
from podagent.netconf import NetConf
from unit.bench import POD, Bench
from unit.factory import attachment

RED = interface_name("red")
MAC = "02:00:00:00:00:01"


@pytest.fixture
def node() -> Bench:
    made = Bench()
    made.run()
    return made


def attach(node: Bench, via: Via = Via.DELEGATE, plugin: str = "bridge", mac: str | None = None) -> Record:
    sandbox, wanted = node.running[POD], attachment("red", mac=mac)
    _, call = node.resolve(node.pods[POD], wanted, sandbox)
    call = call._replace(netconf=NetConf({**call.netconf.json, "plugins": [{"type": plugin}]}))
    return node.executor.attach(node.pods[POD], wanted, sandbox, via, call)


def make_link(node: Bench) -> None:
    """The pod itself makes a link of that name."""
    node.kubelet_attaches(POD, "red")
    node.made_by_kubelet.clear()


@pytest.mark.parametrize("via", list(Via))
def test_a_link_that_the_pod_made_is_left_alone_and_the_attach_fails_in_words(node: Bench, via: Via) -> None:
    make_link(node)
    before = node.links_of(POD)
    with pytest.raises(InterfaceForeign, match=f"{RED} exists in the pod already, and nothing shows .* red"):
        attach(node, via)
    assert (node.links_of(POD), node.disk, node.operations) == (before, {}, [])


def test_a_proven_link_is_not_adopted_if_del_would_move_it_to_the_host(node: Bench) -> None:
    node.kubelet_attaches(POD, "red")
    with pytest.raises(InterfaceForeign, match="move it to the host"):
        attach(node, plugin="host-device")
    # The system plugin moves only what it attached itself.
    assert attach(node, Via.SYSTEM, "host-device").adopted


def test_a_link_adopted_by_an_earlier_version_is_not_moved_to_the_host_either(node: Bench) -> None:
    node.kubelet_attaches(POD, "red")
    made = attach(node, Via.SYSTEM, "host-device")._replace(via=Via.DELEGATE)
    node.put(made)
    node.executor.detach(made)
    assert [target.netns for target in node.deleted] == [""]
    assert set(node.links_of(POD)) == {RED}
    assert node.disk == {}


def test_the_result_of_the_add_that_made_it_is_recorded(node: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    node.kubelet_attaches(POD, "red")
    result = {"cniVersion": "1.0.0", "ips": [{"address": "10.0.0.9/24"}]}
    monkeypatch.setattr(node, "result_of", lambda record: result)
    made = attach(node, Via.SYSTEM)
    assert (made.adopted, made.phase, made.result) == (True, Phase.ATTACHED, result)


def test_a_link_that_lacks_the_requested_mac_address_is_made_again_with_it(node: Bench) -> None:
    node.kubelet_attaches(POD, "red")
    made = attach(node, mac=MAC)
    assert (made.adopted, node.commands()) == (False, ["DEL", "ADD"])
    assert list(node.macs.values()) == [MAC]
