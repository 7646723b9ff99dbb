from __future__ import annotations

import pytest

from podagent.foreign import Json
from podagent.kactus.lock import MARK
from podagent.kactus.state import ADDING, DEFINITION
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


def test_the_default_interface_goes_last_wherever_it_is_kept(node: PodNode) -> None:
    node.keep({"type": "red", "networkName": "red"}, {"type": "master", "masterPlugin": True})
    node.perform("DEL")
    assert node.calls == [f"DEL red {RED}", "DEL master eth0"]


def test_one_network_goes_alone_and_may_go_twice(started: PodNode) -> None:
    for _ in range(2):
        started.perform("DEL", "red")
        assert started.calls == [f"DEL red {RED}"]
        assert started.kept_names == ["default", "green"]


def test_the_default_interface_goes_even_if_its_record_is_lost(node: PodNode) -> None:
    node.perform("DEL")
    assert node.calls == ["DEL master eth0"]


@pytest.mark.parametrize("gone", ["", "/nowhere"])
def test_without_a_namespace_the_plugins_give_addresses_back(started: PodNode, gone: str) -> None:
    started.perform("DEL", CNI_NETNS=gone)
    assert len(started.calls) == 3
    assert started.given["red"].env["CNI_NETNS"] == ""


def test_nothing_is_detached_from_our_own_namespace(started: PodNode) -> None:
    started.refused(8, "DEL", "red", CNI_NETNS="/proc/self/ns/net")
    assert started.calls == []


def test_a_network_that_fails_stays_kept_and_the_others_go(started: PodNode) -> None:
    started.fail("DEL red", 105, "busy")
    assert "CNI plugin red: busy" in started.refused(105, "DEL")
    assert (started.links, started.kept_names) == ({RED}, ["red"])
    started.failures.clear()
    started.perform("DEL")
    assert (started.links, started.kept) == (set(), [])


def test_all_failures_are_reported_at_once(started: PodNode) -> None:
    started.fail("DEL red")
    started.fail("DEL green")
    reported = started.refused(999, "DEL")
    assert "CNI plugin red" in reported
    assert "CNI plugin green" in reported


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
    monkeypatch.setenv(MARK, started.container)
    started.perform("DEL")
    assert started.calls == []
    assert "called itself" in started.refused(7, "ADD")
