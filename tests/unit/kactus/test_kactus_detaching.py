from __future__ import annotations

from typing import Any

import pytest

from podagent.decide.dialects.kaloom_names import interface_name
from podagent.foreign import Json
from podagent.kactus.failure import Failure
from podagent.kactus.lock import MARK
from podagent.kactus.state import ADDING, DEFINITION
from unit.kactus.scripted import POD_ARGS, PodNode

RED, GREEN = interface_name("red"), interface_name("green")
HALF_RED: Json = {
    "cniVersion": "0.4.0", "name": "red-net", "type": "red", "networkName": "red", ADDING: True, DEFINITION: "shop/red",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _two_networks(node: PodNode) -> None:
    node.define("red", "green")


@pytest.fixture
def started(node: PodNode) -> PodNode:
    """With both networks; nobody is to be asked any more."""
    node.annotate({"name": "red"}, {"name": "green"})
    node.add()
    node.forget_calls()
    node.objects.clear()
    node.server.requests.clear()
    return node


def refused(code: int, node: PodNode, network: str = "", **options: Any) -> str:
    with pytest.raises(Failure) as caught:
        node.delete(network, **options)
    assert caught.value.code == code
    return caught.value.message


def test_everything_goes_in_reverse_and_nobody_is_asked(started: PodNode) -> None:
    started.delete()
    assert started.calls == [f"DEL green {GREEN}", f"DEL red {RED}", "DEL master eth0"]
    assert (started.links, started.kept, started.server.requests) == ([], [], [])


def test_the_default_interface_goes_last_wherever_it_is_kept(node: PodNode) -> None:
    node.keep({"type": "red", "networkName": "red"}, {"type": "master", "masterPlugin": True})
    node.delete()
    assert node.calls == [f"DEL red {RED}", "DEL master eth0"]


def test_one_network_goes_alone(started: PodNode) -> None:
    started.delete("red")
    assert started.calls == [f"DEL red {RED}"]
    assert started.kept_names == ["default", "green"]


def test_a_network_that_is_not_kept_is_gone_already(started: PodNode) -> None:
    started.delete("blue")
    assert started.calls == []


def test_the_default_interface_goes_even_if_what_was_kept_is_lost(node: PodNode) -> None:
    node.delete()
    assert node.calls == ["DEL master eth0"]


@pytest.mark.parametrize("gone", ["", "/nowhere"])
def test_without_a_namespace_the_plugins_give_addresses_back(started: PodNode, gone: str) -> None:
    started.delete(CNI_NETNS=gone)
    assert len(started.calls) == 3
    assert started.given("red")[1]["CNI_NETNS"] == ""


def test_nothing_is_detached_from_our_own_namespace(started: PodNode) -> None:
    refused(8, started, "red", CNI_NETNS="/proc/self/ns/net")
    assert started.calls == []


def test_what_fails_stays_kept_and_the_others_go(started: PodNode) -> None:
    started.fail("red", "DEL", 105, "busy")
    assert "CNI plugin red: busy" in refused(105, started)
    assert (started.links, started.kept_names) == ([RED], ["red"])
    started.work_again("red", "DEL")
    started.delete()
    assert (started.links, started.kept) == ([], [])


def test_all_that_failed_is_told_at_once(started: PodNode) -> None:
    started.fail("red", "DEL")
    started.fail("green", "DEL")
    told = refused(999, started)
    assert "CNI plugin red" in told
    assert "CNI plugin green" in told


def test_what_was_half_attached_goes_with_the_corrected_definition(node: PodNode) -> None:
    node.keep({**HALF_RED, "type": "faulty"})
    node.delete("red")
    assert node.calls == [f"DEL red {RED}"]
    assert node.kept == []


def test_a_half_made_default_interface_goes_with_the_corrected_configuration(node: PodNode) -> None:
    node.keep({"cniVersion": "0.4.0", "name": "cluster", "type": "faulty", "masterPlugin": True, ADDING: True})
    node.delete()
    assert node.calls == ["DEL master eth0"]
    assert node.kept == []


def test_the_failure_of_del_is_told_where_today_says_nothing_else(node: PodNode) -> None:
    node.keep(HALF_RED)
    node.fail("red", "DEL", 105, "busy")
    node.objects.clear()
    assert "busy" in refused(105, node, "red")
    assert node.kept_names == ["red"]


def test_the_failure_of_del_is_told_where_the_server_cannot_be_asked(node: PodNode) -> None:
    node.keep(HALF_RED)
    node.fail("red", "DEL", 105, "busy")
    assert "busy" in refused(105, node, "red", conf=node.conf(kubeconfig="/nowhere"))


def test_a_kactus_that_its_own_delegate_calls_has_nothing_to_detach(
    started: PodNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MARK, started.container)
    started.delete()
    assert started.calls == []
    with pytest.raises(Failure, match="called by itself"):
        started.add()


def test_del_may_come_twice(started: PodNode) -> None:
    for _ in range(2):
        started.delete("red", args=POD_ARGS)
    assert started.calls == [f"DEL red {RED}"]
