"""The shared nouns: interface names, and addresses in results of every CNI version."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podagent.decide.dialects.kaloom_names import interface_name
from podagent.foreign import Json
from podagent.model import Target, result_addresses
from podagent.validate import is_interface_name
from unit.factory import record

BOTH = ("10.0.0.2/24", "fd00::2/64")


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=300))
def test_every_network_has_a_valid_interface_name(network: str) -> None:
    assert is_interface_name(interface_name(network))


def test_a_record_has_the_target_of_its_operations() -> None:
    assert record("red").target("/proc/7/ns/net") == Target("sandbox-7", "/proc/7/ns/net", "netbda9643ac660")


@pytest.mark.parametrize(
    ("result", "addresses"),
    [
        (None, ()),
        ({}, ()),
        ({"ips": None}, ()),
        ({"ips": [{"address": "10.0.0.2/24"}, {"address": "fd00::2/64"}]}, BOTH),
        ({"ips": [{"version": "4", "address": "10.0.0.2/24"}]}, BOTH[:1]),
        ({"ip4": {"ip": "10.0.0.2/24"}, "ip6": {"ip": "fd00::2/64"}}, BOTH),
        ({"ips": [7, {"address": None}, {}], "ip4": "x"}, ()),
    ],
)
def test_finds_the_addresses_in_results_of_every_version(result: Json | None, addresses: tuple[str, ...]) -> None:
    assert result_addresses(result) == addresses
