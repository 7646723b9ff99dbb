"""CHECK, GC and STATUS; ADD and DEL have files of their own."""

from __future__ import annotations

from typing import Any

import pytest

from podagent.foreign import Json
from podagent.kactus.state import ADDING
from unit.kactus.scripted import RED, PodNode


@pytest.fixture
def started(node: PodNode) -> PodNode:
    node.start("red")
    return node


def valid(node: PodNode, *alive: str, key: str = "cni.dev/valid-attachments") -> Json:
    """The configuration of a GC."""
    return node.conf("1.1.0", **{key: [{"containerID": each, "ifname": "eth0"} for each in alive]})


def test_a_check_asks_every_plugin_that_has_attached_something_or_the_one_of_a_network(started: PodNode) -> None:
    started.perform("CHECK")
    assert started.calls == ["CHECK master eth0", f"CHECK red {RED}"]
    started.perform("CHECK", "red")
    assert started.calls[2:] == [f"CHECK red {RED}"]


def test_the_failure_of_a_plugins_check_keeps_its_code(started: PodNode) -> None:
    started.fail("CHECK red", 110, "no address")
    assert "CNI plugin red: no address" in started.refused(110, "CHECK")


@pytest.mark.parametrize(("network", "what"), [("", "the container"), ("blue", "blue")])
def test_nothing_that_is_not_kept_passes_a_check(node: PodNode, network: str, what: str) -> None:
    assert f"{what} is not attached" in node.refused(999, "CHECK", network)


def test_an_interface_that_has_vanished_fails_a_check(started: PodNode) -> None:
    started.links.remove(RED)
    assert f"interface {RED} is not in the pod" in started.refused(999, "CHECK")


def test_an_interface_whose_add_was_interrupted_fails_a_check(started: PodNode) -> None:
    started.keep({"type": "red", "networkName": "red", ADDING: True})
    assert "interrupted" in started.refused(999, "CHECK")


def test_our_own_namespace_is_not_checked(started: PodNode) -> None:
    started.refused(8, "CHECK", CNI_NETNS="/proc/self/ns/net")


@pytest.mark.parametrize(
    ("command", "version"),
    [("CHECK", "0.3.1"), ("CHECK", "0.1.0"), ("GC", "1.0.0"), ("STATUS", "1.0.0"), ("STATUS", "0.4.0")],
)
def test_a_command_that_the_version_does_not_have_is_refused(started: PodNode, command: str, version: str) -> None:
    conf = started.conf(version, **{"cni.dev/valid-attachments": []})
    assert f"{version} has no {command}" in started.refused(1, command, conf=conf)
    assert started.calls == []


# --- GC -------------------------------------------------------------------------------------------------------------


def test_the_delegates_of_a_container_that_is_gone_are_detached(started: PodNode) -> None:
    started.perform("GC", conf=valid(started))
    assert started.calls == [f"DEL red {RED}", "DEL master eth0", "GC master"]
    assert started.kept == []


@pytest.mark.parametrize("key", ["cni.dev/valid-attachments", "cni.dev/attachments"])
def test_the_delegates_of_a_container_that_lives_stay(started: PodNode, key: str) -> None:
    started.perform("GC", conf=valid(started, "c1", key=key))
    assert started.calls == ["GC master"]
    assert started.kept_names == ["default", "red"]
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


# --- STATUS ---------------------------------------------------------------------------------------------------------


def test_kactus_is_ready_when_its_master_is(node: PodNode) -> None:
    node.perform("STATUS", conf=node.conf("1.1.0"))
    assert node.calls == ["STATUS master"]


@pytest.mark.parametrize(("code", "reported"), [(50, 50), (51, 51), (104, 50)])
def test_a_master_that_is_not_ready_is_reported_with_a_code_of_that_meaning(
    node: PodNode, code: int, reported: int
) -> None:
    node.fail("STATUS master", code, "not yet")
    assert "CNI plugin master: not yet" in node.refused(reported, "STATUS", conf=node.conf("1.1.0"))
