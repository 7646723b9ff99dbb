from __future__ import annotations

import pytest

from podagent import versions
from podagent.cni.delegatefile import ADDING
from podagent.errors import CallRefused, CniError, PluginNotRun
from podagent.foreign import Json
from podagent.kactus.log import setup
from podagent.kactus.state import LARGEST_WRITTEN
from unit.cni.plugins import RESULT
from unit.failing import FailingCalls
from unit.kactus.scripted import GREEN, POD_ARGS, RED, PodNode

MAC = "02:00:00:00:00:0a"


def test_a_pod_gets_its_default_interface_whose_result_is_returned_and_then_its_networks(node: PodNode) -> None:
    node.annotate({"name": "green"}, {"name": "red"})
    node.answers["red"] = {"cniVersion": "0.4.0"}
    assert node.add() == RESULT
    assert node.calls == ["ADD master eth0", f"ADD green {GREEN}", f"ADD red {RED}"]
    assert node.kept_names == ["default", "green", "red"]


@pytest.mark.parametrize("version", versions.KNOWN)
def test_a_result_is_in_the_version_that_was_asked_for_at_the_start_and_later(node: PodNode, version: str) -> None:
    ips = [{"address": "10.1.0.5/16"} | ({"version": "4"} if version < "1" else {})]
    expected = {"ip4": {"ip": "10.1.0.5/16"}} if version < "0.3" else {"ips": ips}
    for network in ("", "red", "red"):
        args = "IgnoreUnknown=1;K8S_POD_NETWORK_NAMESPACE=shop"
        result = node.add(network, node.conf(version), args=args)
        assert {key: result[key] for key in ("cniVersion", *expected)} == {"cniVersion": version, **expected}


def test_a_sandbox_that_is_no_pod_gets_the_default_interface_without_a_request(node: PodNode) -> None:
    node.add(args="")
    assert (node.links, node.asked) == ({"eth0"}, [])


def test_a_primary_network_takes_the_place_of_the_default_interface(node: PodNode) -> None:
    node.annotate({"name": "red", "isPrimary": True, "ifMac": MAC}, {"name": "green"})
    node.add()
    assert node.calls == ["ADD red eth0", f"ADD green {GREEN}"]
    assert f"MAC={MAC}" in node.given["red"].args


def test_a_master_that_is_a_chain_is_run_and_kept_as_one(node: PodNode) -> None:
    node.add(args="", conf=node.conf(delegates=[{"plugins": [{"type": "master"}, {"type": "red"}]}]))
    node.perform("DEL", args="")
    assert node.calls == ["ADD master eth0", "ADD red eth0", "DEL red eth0", "DEL master eth0"]
    assert node.kept == []


def test_a_network_that_fails_takes_back_all_before_it(node: PodNode) -> None:
    node.annotate({"name": "green"}, {"name": "red"})
    node.fail("ADD red", message="no more of these")
    assert "CNI plugin red: no more of these" in node.refused(104, "ADD")
    assert node.calls[3:] == [f"DEL red {RED}", f"DEL green {GREEN}", "DEL master eth0"]
    assert (node.links, node.kept) == (set(), [])


def test_a_network_that_cannot_be_taken_back_stays_kept_and_is_logged(node: PodNode) -> None:
    node.annotate({"name": "green"}, {"name": "red"})
    node.fail("ADD red")
    node.fail("DEL green")
    log = node.directory / "log"
    setup({"_CNI_LOGGING_FILE": str(log)})
    try:
        assert "CNI plugin red" in node.refused(104, "ADD")
    finally:
        setup({})
    assert "rolling back green: CNI plugin green: no" in log.read_text()
    assert node.kept_names == ["green"]


@pytest.mark.parametrize(
    ("change", "kind", "code"),
    [({"type": "no-such"}, PluginNotRun, 5), ({"cniVersion": "9.9.9"}, CallRefused, 7)],
)
def test_a_delegate_that_cannot_be_run_leaves_nothing_to_be_detached(
    node: PodNode, change: Json, kind: type[CniError], code: int
) -> None:
    with pytest.raises(kind) as caught:
        node.add(conf=node.conf(delegates=[{"type": "master", **change}]), args="")
    assert (caught.value.code, node.calls, node.kept) == (code, [], [])


def test_a_configuration_without_a_version_is_passed_on_without_one_and_a_result_without_addresses_is_printed(
    node: PodNode,
) -> None:
    conf = node.conf("", delegates=[{"type": "master"}])
    del conf["cniVersion"]
    node.add(conf=conf, args="")
    assert node.given["master"].conf.keys() == {"type", "name", "masterPlugin"}
    node.answers["red"] = {"cniVersion": "0.3.1", "interfaces": [{"name": RED}]}
    assert node.add("red", conf) == {"cniVersion": "0.1.0"}
    assert node.links == {"eth0", RED}


@pytest.mark.parametrize(
    ("code", "fault", "networks", "environ"),
    [
        (4, "belong together", [], {"CNI_ARGS": "K8S_POD_NAMESPACE=shop"}),
        (4, "belong together", [], {"CNI_ARGS": "K8S_POD_NAME=web"}),
        (7, "network blue is not defined", ["red", "blue"], {}),
        (8, "should not be the same", [], {"CNI_NETNS": "/proc/self/ns/net"}),
        (8, "cannot be used", [], {"CNI_NETNS": "/nowhere"}),
        (11, "pod shop/other is not known", [], {"CNI_ARGS": "K8S_POD_NAMESPACE=shop;K8S_POD_NAME=other"}),
    ],
)
def test_a_pod_with_a_fault_gets_no_interface_at_all(
    node: PodNode, code: int, fault: str, networks: list[str], environ: dict[str, str]
) -> None:
    node.annotate(*({"name": network} for network in networks))
    assert fault in node.refused(code, "ADD", "", None, **environ)
    assert (node.calls, node.kept) == ([], [])


def test_one_network_is_attached_with_the_mac_address_asked_for(node: PodNode) -> None:
    result = node.add("red", args=f"IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_IFMAC={MAC.upper()}")
    assert result["ips"][0]["address"] == "10.1.0.5/16"
    assert node.calls == [f"ADD red {RED}"]
    assert node.given["red"].args[-2:] == [f"CNI_IFMAC={MAC}", f"MAC={MAC}"]


def test_the_pods_uid_of_which_only_the_runtime_tells_is_passed_on_later_too(node: PodNode) -> None:
    node.annotate({"name": "green"})
    node.add(args=f"{POD_ARGS};K8S_POD_UID=8f5e")
    for command in ("ADD", "CHECK", "DEL"):
        node.perform(command, "red")
        assert "K8S_POD_UID=8f5e" in node.given.pop("red").args


def test_a_network_is_attached_from_the_namespace_that_is_named(node: PodNode) -> None:
    node.add("red", args="IgnoreUnknown=1;K8S_POD_NETWORK_NAMESPACE=shop")
    assert [each["kactusDefinition"] for each in node.kept] == ["shop/red"]


@pytest.mark.parametrize("network", ["red", ""])
def test_an_add_that_is_repeated_attaches_nothing_twice(node: PodNode, network: str) -> None:
    node.annotate({"name": "green"})
    first = node.add(network)
    node.calls.clear()
    node.asked.clear()
    assert (node.add(network), node.calls) == (first, [])
    assert not network or node.asked == []  # one network by its name needs no definition then


def test_an_interface_that_kaloom_attached_is_reported_by_its_name(node: PodNode) -> None:
    node.keep({"type": "red", "networkName": "red"})
    node.links.add(RED)
    assert node.add("red")["interfaces"] == [{"name": RED, "sandbox": str(node.netns)}]


@pytest.mark.parametrize(("links", "mark"), [(set(), {}), ({RED}, {ADDING: True})], ids=["vanished", "half made"])
def test_an_interface_that_is_not_whole_is_detached_and_made_again(node: PodNode, links: set[str], mark: Json) -> None:
    node.keep({"type": "red", "name": "red-net", "networkName": "red", **mark})
    node.links |= links
    node.add("red")
    assert node.calls == [f"DEL red {RED}", f"ADD red {RED}"]
    assert ADDING not in node.kept[0]


def test_an_interface_that_is_not_ours_is_left_alone(node: PodNode) -> None:
    node.links.add(RED)
    assert "is not owned by kactus" in node.refused(999, "ADD", "red")
    assert (node.calls, node.links, node.kept) == ([], {RED}, [])


def test_all_delegates_are_kept_before_the_first_is_run_and_their_results_in_one_more_write(
    node: PodNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = FailingCalls(monkeypatch, str(node.cni_dir))
    node.annotate({"name": "red"}, {"name": "green"})
    node.add()
    assert [ADDING in each for each in (*node.kept_then, *node.kept)] == [True] * 3 + [False] * 3
    assert [each["prevResult"] for each in node.kept] == [RESULT] * 3
    assert len([each for each in calls.made if each.startswith("write")]) == 2


def test_a_signal_keeps_the_results_so_far(node: PodNode) -> None:
    node.annotate({"name": "red"}, {"name": "green"})
    node.failures["ADD green"] = SystemExit(143)
    with pytest.raises(SystemExit):
        node.add()
    assert [(ADDING in each, "prevResult" in each) for each in node.kept] == [(False, True)] * 2 + [(True, False)]


def test_a_plugin_that_is_missing_fails_the_call_before_anything_is_run(node: PodNode) -> None:
    node.annotate({"name": "red"}, {"name": "green"})
    (node.directory / "bin" / "green").unlink()
    assert "CNI plugin green: not found" in node.refused(5, "ADD")
    assert (node.calls, node.kept) == ([], [])


def test_a_plugin_that_cannot_be_executed_takes_back_all_before_it_and_leaves_nothing_to_be_detached(
    node: PodNode,
) -> None:
    node.annotate({"name": "red"}, {"name": "green"})
    for command in ("ADD", "DEL"):
        node.failures[f"{command} red"] = PluginNotRun("red", "cannot be run", 5)
    assert "red: cannot be run" in node.refused(5, "ADD")
    assert (node.calls, node.kept) == (["ADD master eth0", "DEL master eth0"], [])


def test_a_file_that_would_become_too_large_fails_the_call_before_anything_is_run_and_a_result_is_taken_back(
    node: PodNode,
) -> None:
    long = "x" * LARGEST_WRITTEN
    master = {"type": "master", "masterPlugin": True}
    assert "more than 4 MiB" in node.refused(5, "ADD", args="", conf=node.conf(delegates=[{**master, "long": long}]))
    assert node.calls == []
    node.answers["master"] = {**RESULT, "dns": {"domain": long}}
    assert "more than 4 MiB" in node.refused(5, "ADD", args="")
    assert (node.calls, node.links, node.kept) == (["ADD master eth0", "DEL master eth0"], set(), [])
