"""CHECK, GC and STATUS; ADD and DEL have files of their own."""

from __future__ import annotations

from typing import Any

import pytest

from podagent.decide.dialects.kaloom_names import interface_name
from podagent.errors import CniError
from podagent.foreign import Json
from podagent.kactus import operations
from podagent.kactus.failure import Failure
from podagent.kactus.state import ADDING
from unit.kactus.scripted import PodNode

RED = interface_name("red")


@pytest.fixture
def started(node: PodNode) -> PodNode:
    node.define("red")
    node.annotate({"name": "red"})
    node.add()
    node.forget_calls()
    return node


def latest(node: PodNode, **changes: Any) -> Json:
    """The configuration in a version that has every command."""
    return node.conf(cniVersion="1.1.0", delegates=[{"type": "master", "cniVersion": "1.1.0"}], **changes)


# --- CHECK ----------------------------------------------------------------------------------------------------------


def check_refused(code: int, node: PodNode, network: str = "", **options: Any) -> str:
    with pytest.raises(CniError) as caught:
        node.check(network, **options)
    assert caught.value.code == code
    return str(caught.value)


def test_a_check_asks_every_plugin_that_has_attached_something(started: PodNode) -> None:
    started.check()
    assert started.calls == ["CHECK master eth0", f"CHECK red {RED}"]


def test_a_check_of_one_network_asks_its_plugin_alone(started: PodNode) -> None:
    started.check("red")
    assert started.calls == [f"CHECK red {RED}"]


def test_what_a_plugin_finds_is_told_with_its_code(started: PodNode) -> None:
    started.fail("red", "CHECK", 110, "no address")
    assert "CNI plugin red: no address" in check_refused(110, started)


@pytest.mark.parametrize(("network", "what"), [("", "the container"), ("blue", "blue")])
def test_nothing_that_is_not_kept_passes_a_check(node: PodNode, network: str, what: str) -> None:
    assert f"nothing is known of {what}" in check_refused(999, node, network)


def test_an_interface_that_has_vanished_fails_a_check(started: PodNode) -> None:
    started.lose_link(RED)
    assert f"interface {RED} is not in the pod" in check_refused(999, started)


def test_an_interface_whose_adding_was_cut_short_fails_a_check(started: PodNode) -> None:
    started.keep({"type": "red", "networkName": "red", ADDING: True})
    assert "cut short" in check_refused(999, started)


def test_an_old_configuration_has_no_check(started: PodNode) -> None:
    assert "has no CHECK" in check_refused(1, started, conf=started.conf(cniVersion="0.3.1"))


def test_our_own_namespace_is_not_checked(started: PodNode) -> None:
    check_refused(8, started, CNI_NETNS="/proc/self/ns/net")


# --- GC -------------------------------------------------------------------------------------------------------------


def collect(node: PodNode, *alive: str, **changes: Any) -> None:
    valid = [{"containerID": each, "ifname": "eth0"} for each in alive]
    operations.collect(node.call("GC", conf=latest(node, **{"cni.dev/valid-attachments": valid, **changes})))


def collect_refused(code: int, node: PodNode, **changes: Any) -> str:
    with pytest.raises(Failure) as caught:
        collect(node, **changes)
    assert caught.value.code == code
    return caught.value.message


def test_what_is_kept_for_a_container_that_is_gone_is_detached(started: PodNode) -> None:
    collect(started)
    assert started.calls == [f"DEL red {RED}", "DEL master eth0", "GC master "]
    assert started.kept == []


def test_what_is_kept_for_a_container_that_lives_stays(started: PodNode) -> None:
    collect(started, "c1")
    assert started.calls == ["GC master "]
    assert started.kept_names == ["default", "red"]
    assert started.given("master")[0]["cni.dev/valid-attachments"] == [{"containerID": "c1", "ifname": "eth0"}]


def test_a_default_interface_of_another_name_is_detached_under_that_name(node: PodNode) -> None:
    node.add(args="", CNI_IFNAME="ens3")
    collect(node)
    assert node.calls[1:] == ["DEL master ens3", "GC master "]


def test_what_fails_in_one_container_does_not_keep_the_others(started: PodNode) -> None:
    started.fail("red", "DEL")
    started.container = "c2"
    started.add(args="", CNI_IFNAME="eth1")
    assert "CNI plugin red" in collect_refused(999, started)
    assert started.kept == []
    started.container = "c1"
    assert started.kept_names == ["red"]


def test_what_the_master_cannot_collect_is_told(node: PodNode) -> None:
    node.fail("master", "GC", message="locked")
    assert "CNI plugin master: locked" in collect_refused(999, node)


@pytest.mark.parametrize("listed", [None, "c1", {}, [None], ["c1"], [{"containerID": "c1"}]])
def test_a_malformed_list_of_attachments_collects_nothing(started: PodNode, listed: Any) -> None:
    assert "valid-attachments" in collect_refused(7, started, **{"cni.dev/valid-attachments": listed})
    assert started.calls == []


def test_the_older_key_of_the_list_is_understood(started: PodNode) -> None:
    conf = latest(started, **{"cni.dev/attachments": [{"containerID": "c1", "ifname": "eth0"}]})
    operations.collect(started.call("GC", conf=conf))
    assert started.calls == ["GC master "]


# --- STATUS ---------------------------------------------------------------------------------------------------------


def test_a_master_that_is_ready_makes_kactus_ready(node: PodNode) -> None:
    operations.status(node.call("STATUS", conf=latest(node)))
    assert node.calls == ["STATUS master "]


@pytest.mark.parametrize(("said", "told"), [(50, 50), (51, 51), (104, 50)])
def test_a_master_that_is_not_ready_is_told_with_a_code_of_that_meaning(node: PodNode, said: int, told: int) -> None:
    node.fail("master", "STATUS", said, "not yet")
    with pytest.raises(Failure, match="CNI plugin master: not yet") as caught:
        operations.status(node.call("STATUS", conf=latest(node)))
    assert caught.value.code == told


@pytest.mark.parametrize("command", ["GC", "STATUS"])
def test_an_old_configuration_has_neither_gc_nor_status(node: PodNode, command: str) -> None:
    with pytest.raises(Failure, match=f"CNI version 1.0.0 has no {command}") as caught:
        operations.OPERATIONS[command](node.call(command, conf=node.conf(cniVersion="1.0.0")))
    assert caught.value.code == 1
