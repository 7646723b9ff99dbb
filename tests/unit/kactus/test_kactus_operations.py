"""DEL, CHECK, GC and STATUS; ADD has a file of its own."""

from __future__ import annotations

import errno
import os
from typing import Any

import pytest

from podagent.cni.delegatefile import ADDING, LEFT, is_whole
from podagent.foreign import Json
from podagent.kactus import detaching
from podagent.kactus.lock import MARK
from podagent.kactus.state import DEFINITION
from unit.kactus.scripted import GREEN, RED, PodNode

FAULTY_MASTER: Json = {"cniVersion": "0.4.0", "name": "cluster", "type": "faulty", "masterPlugin": True, ADDING: True}
HALF_RED: Json = {
    "cniVersion": "0.4.0", "name": "red-net", "type": "red", "networkName": "red", ADDING: True, DEFINITION: "shop/red",
}  # fmt: skip


@pytest.fixture
def started(node: PodNode) -> PodNode:
    """With both networks; there is nothing left on the API server."""
    node.start("red", "green")
    node.objects.clear()
    return node


def test_everything_goes_in_reverse_without_a_request(started: PodNode) -> None:
    started.perform("DEL")
    assert started.calls == [f"DEL green {GREEN}", f"DEL red {RED}", "DEL master eth0"]
    assert (started.links, started.kept, started.asked) == (set(), [], [])


def test_the_default_interface_goes_last_wherever_it_is_kept_and_though_its_record_is_lost(node: PodNode) -> None:
    node.perform("DEL")
    assert node.calls == ["DEL master eth0"]
    node.keep({"type": "red", "networkName": "red"}, {"type": "master", "masterPlugin": True})
    node.perform("DEL")
    assert node.calls[1:] == [f"DEL red {RED}", "DEL master eth0"]


def test_one_network_goes_alone_and_may_go_twice(started: PodNode) -> None:
    for _ in range(2):
        started.perform("DEL", "red")
        assert started.calls == [f"DEL red {RED}"]
        assert started.kept_names == ["default", "green"]


@pytest.mark.parametrize("gone", ["", "/nowhere"])
def test_without_a_namespace_the_plugins_give_addresses_back(started: PodNode, gone: str) -> None:
    started.perform("DEL", CNI_NETNS=gone)
    assert len(started.calls) == 3
    assert started.given["red"].env["CNI_NETNS"] == ""


def test_without_knowing_whether_the_namespace_is_there_nothing_is_detached(
    started: PodNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    stat = os.stat

    def fail(path: Any, **options: Any) -> os.stat_result:
        if path == str(started.netns):
            raise OSError(errno.ENFILE, os.strerror(errno.ENFILE))
        return stat(path, **options)

    kept = started.kept
    with monkeypatch.context() as patched:
        patched.setattr(os, "stat", fail)
        assert started.refused(999, "DEL").count("Too many open files") == 3
    assert (started.calls, started.kept) == ([], kept)


@pytest.mark.parametrize(("command", "network"), [("DEL", "red"), ("CHECK", "")])
def test_nothing_is_done_in_our_own_namespace(started: PodNode, command: str, network: str) -> None:
    started.refused(8, command, network, CNI_NETNS="/proc/self/ns/net")
    assert started.calls == []


def test_networks_that_fail_are_reported_together_and_stay_kept_and_the_others_go(started: PodNode) -> None:
    started.fail("DEL red", 105, "busy")
    started.fail("DEL green", 105, "too")
    reported = started.refused(999, "DEL")
    assert "CNI plugin red: busy" in reported
    assert "CNI plugin green: too" in reported
    del started.failures["DEL green"]
    assert "CNI plugin red: busy" in started.refused(105, "DEL")
    assert (started.links, started.kept_names) == ({RED}, ["red"])
    started.failures.clear()
    started.perform("DEL")
    assert (started.links, started.kept) == (set(), [])


CHAIN: Json = {
    "cniVersion": "0.4.0", "name": "red-net", "networkName": "red", "prevResult": {"cniVersion": "0.4.0"},
    "plugins": [{"type": "red"}, {"type": "green"}],
}  # fmt: skip


def test_after_a_failure_all_plugins_of_a_chain_are_asked_and_then_those_that_failed_alone(node: PodNode) -> None:
    node.keep(CHAIN)
    node.links = {RED}
    node.fail("DEL green", 105, "busy")
    for calls in (["green"], ["green", "red"], ["green"], ["green"]):
        before = len(node.calls)
        node.refused(105, "DEL", "red")
        assert node.calls[before:] == [f"DEL {plugin} {RED}" for plugin in calls]
    node.perform("DEL", "red")
    assert node.kept == [], "the link is gone, and nothing shows an address"


def test_positions_that_a_list_does_not_have_are_no_reason_to_run_nothing(node: PodNode) -> None:
    node.keep({**HALF_RED, LEFT: [7]})
    node.perform("DEL", "red")
    assert (node.calls, node.kept) == ([f"DEL red {RED}"], [])


def test_a_network_whose_del_has_begun_is_not_taken_for_attached(node: PodNode) -> None:
    node.keep({**HALF_RED, LEFT: []})
    assert not is_whole(node.kept[0])
    assert not is_whole({k: v for k, v in node.kept[0].items() if k != LEFT})


def test_a_network_that_never_had_an_interface_ends_after_the_second_failure(node: PodNode) -> None:
    node.keep(HALF_RED)
    node.objects.clear()
    node.fail("DEL red", 105, "bad mtu")
    node.links = {RED}
    for _ in range(2):
        node.refused(105, "DEL", "red")
    assert node.kept_names == ["red"], "there is an interface"
    node.links = set()
    node.perform("DEL", "red")
    assert node.kept == []


def test_a_default_interface_without_saved_state_ends_after_the_second_failure(node: PodNode) -> None:
    node.fail("DEL master", 105, "bad mtu")
    node.refused(105, "DEL")
    assert node.kept_names == ["default"]
    node.perform("DEL")
    assert node.kept == []


def test_without_a_namespace_nothing_is_asked_in_one_that_the_agent_has_kept(
    node: PodNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If it is the agent that names none: another link has the name of the one to detach."""
    monkeypatch.setattr(detaching, "pinned", lambda container: str(node.netns))
    node.keep(CHAIN)
    node.perform("DEL", "red", CNI_NETNS="")
    assert node.given["red"].env["CNI_NETNS"] == ""
    node.keep(CHAIN)
    node.perform("DEL", CNI_NETNS="")
    assert node.given["red"].env["CNI_NETNS"] == str(node.netns)


@pytest.mark.parametrize(
    ("half_attached", "network", "call"),
    [({**HALF_RED, "type": "faulty"}, "red", f"DEL red {RED}"), (FAULTY_MASTER, "", "DEL master eth0")],
)
def test_a_half_attached_delegate_goes_with_the_corrected_configuration(
    node: PodNode, half_attached: Json, network: str, call: str
) -> None:
    node.keep(half_attached)
    node.perform("DEL", network)
    assert (node.calls, node.kept) == ([call], [])


@pytest.mark.parametrize("kubeconfig", ["", "/nowhere"])
def test_the_failure_of_del_is_reported_where_there_is_no_corrected_definition(node: PodNode, kubeconfig: str) -> None:
    node.keep(HALF_RED)
    node.fail("DEL red", 105, "busy")
    node.objects.clear()
    conf = node.conf(kubeconfig=kubeconfig) if kubeconfig else None
    assert "busy" in node.refused(105, "DEL", "red", conf)
    assert node.kept_names == ["red"]


def test_a_kactus_called_by_its_own_delegate_has_nothing_to_detach(
    started: PodNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MARK, "another container")
    started.perform("DEL", "red")
    assert started.calls == [f"DEL red {RED}"]
    monkeypatch.setenv(MARK, started.container)
    started.perform("DEL")
    assert started.calls == [f"DEL red {RED}"]
    assert "called itself" in started.refused(7, "ADD")


def test_a_check_asks_every_plugin_that_has_attached_something_or_the_one_of_a_network(started: PodNode) -> None:
    started.perform("CHECK")
    assert started.calls == ["CHECK master eth0", f"CHECK red {RED}", f"CHECK green {GREEN}"]
    started.perform("CHECK", "red")
    assert started.calls[3:] == [f"CHECK red {RED}"]


def test_the_failure_of_a_plugins_check_keeps_its_code(started: PodNode) -> None:
    started.fail("CHECK red", 110, "no address")
    assert "CNI plugin red: no address" in started.refused(110, "CHECK")


@pytest.mark.parametrize(("network", "what"), [("", "the container"), ("blue", "blue")])
def test_nothing_that_is_not_kept_passes_a_check(node: PodNode, network: str, what: str) -> None:
    assert f"{what} is not attached" in node.refused(999, "CHECK", network)


def test_an_interface_that_has_vanished_or_whose_add_was_interrupted_fails_a_check(started: PodNode) -> None:
    started.links.remove(RED)
    assert f"interface {RED} is not in the pod" in started.refused(999, "CHECK")
    started.links.add(RED)
    started.keep({"type": "red", "networkName": "red", ADDING: True})
    assert "interrupted" in started.refused(999, "CHECK")


@pytest.mark.parametrize(
    ("command", "version"),
    [("CHECK", "0.3.1"), ("CHECK", "0.1.0"), ("GC", "1.0.0"), ("STATUS", "1.0.0"), ("STATUS", "0.4.0")],
)
def test_a_command_that_the_version_does_not_have_is_refused(started: PodNode, command: str, version: str) -> None:
    conf = started.conf(version, **{"cni.dev/valid-attachments": []})
    assert f"{version} has no {command}" in started.refused(1, command, conf=conf)
    assert started.calls == []


def valid(node: PodNode, *alive: str, key: str = "cni.dev/valid-attachments") -> Json:
    """The configuration of a GC."""
    return node.conf("1.1.0", **{key: [{"containerID": each, "ifname": "eth0"} for each in alive]})


def test_the_delegates_of_a_container_that_is_gone_are_detached(started: PodNode) -> None:
    started.perform("GC", conf=valid(started))
    assert started.calls == [f"DEL green {GREEN}", f"DEL red {RED}", "DEL master eth0", "GC master"]
    assert started.kept == []


@pytest.mark.parametrize("key", ["cni.dev/valid-attachments", "cni.dev/attachments"])
def test_the_delegates_of_a_container_that_lives_stay(started: PodNode, key: str) -> None:
    started.perform("GC", conf=valid(started, "c1", key=key))
    assert started.calls == ["GC master"]
    assert started.kept_names == ["default", "red", "green"]
    passed_on = started.given["master"].conf["cni.dev/valid-attachments"]
    assert passed_on == [{"containerID": "c1", "ifname": "eth0"}]


def test_a_default_interface_of_another_name_is_detached_under_that_name(node: PodNode) -> None:
    node.add(args="", CNI_IFNAME="ens3")
    node.perform("GC", conf=valid(node))
    assert node.calls[1:] == ["DEL master ens3", "GC master"]


def test_a_failure_in_one_container_does_not_keep_the_others(started: PodNode) -> None:
    started.fail("DEL red")
    started.container = "c2"
    started.add(args="", CNI_IFNAME="eth1")
    assert "CNI plugin red" in started.refused(999, "GC", conf=valid(started))
    assert started.kept == []
    started.container = "c1"
    assert started.kept_names == ["red"]


def test_the_failure_of_the_masters_gc_is_reported(node: PodNode) -> None:
    node.fail("GC master", message="locked")
    assert "CNI plugin master: locked" in node.refused(999, "GC", conf=valid(node))


@pytest.mark.parametrize("listed", [None, "c1", {}, [None], [7], ["c1"], [{}], [{"containerID": "c1"}]])
def test_a_malformed_list_of_attachments_collects_nothing(started: PodNode, listed: Any) -> None:
    conf = valid(started) | {"cni.dev/valid-attachments": listed}
    assert "valid-attachments" in started.refused(7, "GC", conf=conf)
    assert started.calls == []


def test_kactus_is_as_ready_as_its_master_and_reports_why_not_with_a_code_of_that_meaning(node: PodNode) -> None:
    conf = node.conf("1.1.0")
    node.perform("STATUS", conf=conf)
    assert node.calls == ["STATUS master"]
    for code, reported in ((50, 50), (51, 51), (104, 50)):
        node.fail("STATUS master", code, "not yet")
        assert "CNI plugin master: not yet" in node.refused(reported, "STATUS", conf=conf)
