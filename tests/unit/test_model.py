"""The shared nouns: interface names, and addresses in results of every CNI version."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podagent.decide.dialects.kaloom_names import interface_name
from podagent.model import PodKey, Target, result_addresses
from podagent.validate import is_interface_name
from unit.factory import record


@pytest.mark.parametrize(
    ("network", "name"), [("green", "net9f27410725ab"), ("red", "netbda9643ac660"), ("data", "net8d777f385d3d")]
)
def test_interface_names_are_those_of_the_original(network: str, name: str) -> None:
    assert interface_name(network) == name


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=300))
def test_every_network_has_a_valid_interface_name(network: str) -> None:
    assert is_interface_name(interface_name(network))


def test_a_pod_is_called_by_namespace_and_name() -> None:
    assert str(PodKey("shop", "web", "uid")) == "shop/web"


def test_a_record_knows_where_its_operations_act() -> None:
    made = record("red")
    assert made.target == Target("sandbox-7", "/proc/7/ns/net", "netbda9643ac660")


@pytest.mark.parametrize(
    ("result", "addresses"),
    [
        (None, ()),
        ({}, ()),
        ({"ips": None}, ()),
        ({"ips": [{"address": "10.0.0.2/24"}, {"address": "fd00::2/64"}]}, ("10.0.0.2/24", "fd00::2/64")),
        ({"ips": [{"version": "4", "address": "10.0.0.2/24"}]}, ("10.0.0.2/24",)),
        ({"ip4": {"ip": "10.0.0.2/24"}, "ip6": {"ip": "fd00::2/64"}}, ("10.0.0.2/24", "fd00::2/64")),
        ({"ips": [7, {"address": None}, {}], "ip4": "x"}, ()),
    ],
)
def test_finds_the_addresses_in_results_of_every_version(result: dict | None, addresses: tuple[str, ...]) -> None:
    assert result_addresses(result) == addresses
