from __future__ import annotations

from typing import Any

import pytest

from podagent.decide.dialects.kaloom_names import interface_name
from podagent.errors import CallRefused, CniError, PluginError, PluginNotRun
from podagent.kactus.failure import Failure
from podagent.kactus.log import setup
from podagent.kactus.state import ADDING
from unit.kactus.scripted import PodNode

RED, GREEN = interface_name("red"), interface_name("green")
MAC = "02:00:00:00:00:0a"


@pytest.fixture(autouse=True)
def _two_networks(node: PodNode) -> None:
    node.define("red", "green")


def refused(code: int, node: PodNode, network: str = "", **options: Any) -> str:
    with pytest.raises(CniError) as caught:
        node.add(network, **options)
    assert caught.value.code == code
    return str(caught.value)


def assert_nothing_left(node: PodNode) -> None:
    assert (node.links, node.kept) == ([], [])


# --- at the start of a pod ------------------------------------------------------------------------------------------


def test_a_pod_gets_its_default_interface_first_and_then_its_networks_in_order(node: PodNode) -> None:
    node.annotate({"name": "green"}, {"name": "red"})
    node.add()
    assert node.calls == ["ADD master eth0", f"ADD green {GREEN}", f"ADD red {RED}"]
    assert node.kept_names == ["default", "green", "red"]


@pytest.mark.parametrize(
    ("version", "ip"),
    [("0.4.0", {"version": "4", "address": "10.1.0.5/16"}), ("1.1.0", {"address": "10.1.0.5/16"})],
)
def test_the_result_is_that_of_the_default_interface_in_the_version_asked_for(
    node: PodNode, version: str, ip: Any
) -> None:
    node.annotate({"name": "red"})
    result = node.add(conf=node.conf(cniVersion=version))
    assert result == {"cniVersion": version, "ips": [ip]}


def test_what_is_no_pod_gets_the_default_interface_and_nobody_is_asked(node: PodNode) -> None:
    node.add(args="")
    assert node.links == ["eth0"]
    assert node.server.requests == []


@pytest.mark.parametrize("args", ["K8S_POD_NAMESPACE=shop", "K8S_POD_NAME=web"])
def test_half_of_a_pods_name_is_a_mistake_of_the_caller(node: PodNode, args: str) -> None:
    assert "belong together" in refused(4, node, args=args)
    assert node.calls == []


def test_a_primary_network_takes_the_place_of_the_default_interface(node: PodNode) -> None:
    node.annotate({"name": "red", "isPrimary": True, "ifMac": MAC}, {"name": "green"})
    node.add()
    assert node.calls == ["ADD red eth0", f"ADD green {GREEN}"]
    assert f"MAC={MAC}" in node.given("red")[1]["CNI_ARGS"]


def test_a_master_that_is_a_chain_is_run_and_kept_as_one(node: PodNode) -> None:
    node.add(args="", conf=node.conf(delegates=[{"plugins": [{"type": "master"}, {"type": "red"}]}]))
    assert node.calls == ["ADD master eth0", "ADD red eth0"]
    node.delete(args="")
    assert node.calls[2:] == ["DEL red eth0", "DEL master eth0"]
    assert_nothing_left(node)


def test_a_network_that_fails_takes_back_all_before_it(node: PodNode) -> None:
    node.annotate({"name": "green"}, {"name": "red"})
    node.fail("red", "ADD", 104, "no more of these")
    assert "CNI plugin red: no more of these" in refused(104, node)
    assert node.calls[3:] == [f"DEL red {RED}", f"DEL green {GREEN}", "DEL master eth0"]
    assert_nothing_left(node)


def test_what_cannot_be_taken_back_stays_kept_and_is_logged(node: PodNode) -> None:
    node.annotate({"name": "green"}, {"name": "red"})
    for name, command in (("red", "ADD"), ("green", "DEL")):
        node.fail(name, command)
    log = node.directory / "log"
    setup({"_CNI_LOGGING_FILE": str(log)})
    try:
        assert "CNI plugin red" in refused(104, node)
    finally:
        setup({})
    assert "taking back green: CNI plugin green: no" in log.read_text()
    assert node.kept_names == ["green"]


@pytest.mark.parametrize(
    ("change", "kind", "code"),
    [({"type": "no-such"}, PluginNotRun, 5), ({"cniVersion": "9.9.9"}, CallRefused, 7)],
)
def test_a_delegate_that_cannot_be_run_leaves_nothing_to_be_detached(
    node: PodNode, change: Any, kind: type[CniError], code: int
) -> None:
    conf = node.conf(delegates=[{"type": "master", **change}])
    with pytest.raises(kind) as caught:
        node.add(conf=conf, args="")
    assert caught.value.code == code
    assert (node.calls, node.kept) == ([], [])


def test_a_result_that_the_caller_could_not_read_is_the_last_plugins_fault_and_is_taken_back(node: PodNode) -> None:
    node.install("red", {"cniVersion": "0.4.0"})
    chain = {"cniVersion": "0.4.0", "plugins": [{"type": "master"}, {"type": "red"}]}
    with pytest.raises(PluginError, match="without addresses") as caught:
        node.add(args="", conf=node.conf(cniVersion="0.2.0", delegates=[chain]))
    assert caught.value.plugin == "red"
    assert_nothing_left(node)


def test_a_pod_that_the_server_does_not_know_starts_later(node: PodNode) -> None:
    assert "pod shop/web is not known" in refused(11, node)
    assert node.calls == []


def test_a_network_that_is_not_defined_is_found_out_before_anything_is_attached(node: PodNode) -> None:
    node.annotate({"name": "blue"})
    assert "network blue is not defined" in refused(7, node)
    assert node.calls == []


@pytest.mark.parametrize("netns", ["/proc/self/ns/net", "/nowhere"])
def test_nothing_is_attached_to_our_own_namespace_or_to_none(node: PodNode, netns: str) -> None:
    refused(8, node, args="", CNI_NETNS=netns)
    assert node.calls == []


# --- later ----------------------------------------------------------------------------------------------------------


def test_one_network_is_attached_with_the_mac_address_asked_for(node: PodNode) -> None:
    result = node.add("red", args=f"IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_IFMAC={MAC.upper()}")
    assert result["ips"][0]["address"] == "10.1.0.5/16"
    assert node.calls == [f"ADD red {RED}"]
    assert f"CNI_IFMAC={MAC};MAC={MAC}" in node.given("red")[1]["CNI_ARGS"]


def test_a_network_is_attached_from_the_namespace_that_is_named(node: PodNode) -> None:
    node.add("red", args="IgnoreUnknown=1;K8S_POD_NETWORK_NAMESPACE=shop")
    assert [each["kactusDefinition"] for each in node.kept] == ["shop/red"]


def test_what_is_attached_already_is_told_again_without_asking_anybody(node: PodNode) -> None:
    first = node.add("red")
    asked = len(node.server.requests)
    node.forget_calls()
    assert node.add("red") == first
    assert (node.calls, len(node.server.requests)) == ([], asked)


def test_a_start_that_is_repeated_attaches_nothing_twice(node: PodNode) -> None:
    node.annotate({"name": "red"})
    first = node.add()
    node.forget_calls()
    assert (node.add(), node.calls) == (first, [])


def test_what_kaloom_attached_is_told_by_its_name(node: PodNode) -> None:
    node.keep({"type": "red", "networkName": "red"})
    node.has_link(RED)
    assert node.add("red")["interfaces"] == [{"name": RED, "sandbox": str(node.netns)}]


def test_an_interface_that_has_vanished_is_detached_and_made_again(node: PodNode) -> None:
    node.add("red")
    node.lose_link(RED)
    node.add("red")
    assert node.calls[1:] == [f"DEL red {RED}", f"ADD red {RED}"]
    assert node.links == [RED]


def test_what_a_call_that_was_cut_short_has_begun_is_detached_first(node: PodNode) -> None:
    node.keep({"type": "red", "name": "red-net", "networkName": "red", ADDING: True})
    node.has_link(RED)
    node.add("red")
    assert node.calls == [f"DEL red {RED}", f"ADD red {RED}"]
    assert ADDING not in node.kept[0]


def test_an_interface_that_is_not_ours_is_left_alone(node: PodNode) -> None:
    node.has_link(RED)
    with pytest.raises(Failure, match="is not kactus'") as caught:
        node.add("red")
    assert caught.value.code == 999
    assert (node.calls, node.links, node.kept) == ([], [RED], [])


def test_a_delegate_is_kept_before_it_is_run(node: PodNode) -> None:
    script = node.directory / "bin" / "red"
    script.write_text(script.read_text().replace("cat >", f"cp {node.cni_dir}/c1 {node.directory}/seen; cat >", 1))
    node.add("red")
    assert ADDING in (node.directory / "seen").read_text()
    assert ADDING not in node.kept[0]
