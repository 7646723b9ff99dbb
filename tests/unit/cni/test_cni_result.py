from __future__ import annotations

from typing import Any

import pytest

from podagent.cni.result import checked, convert
from podagent.errors import PluginError
from podagent.foreign import Json

DNS = {"nameservers": ["10.1.0.1"]}
ROUTES_4, ROUTES_6 = [{"dst": "0.0.0.0/0", "gw": "10.1.0.1"}], [{"dst": "::/0"}]
FIRST: Json = {
    "cniVersion": "0.2.0",
    "ip4": {"ip": "10.1.0.5/16", "gateway": "10.1.0.1", "routes": ROUTES_4},
    "ip6": {"ip": "2001:db8::5/64", "routes": ROUTES_6},
    "dns": DNS,
}
MIDDLE: Json = {
    "cniVersion": "0.4.0",
    "interfaces": [{"name": "br0"}, {"name": "eth1", "mac": "02:00:00:00:00:01", "sandbox": "/ns"}],
    "ips": [
        {"version": "4", "interface": 1, "address": "10.1.0.5/16", "gateway": "10.1.0.1"},
        {"version": "6", "interface": 1, "address": "2001:db8::5/64"},
    ],
    "routes": ROUTES_4 + ROUTES_6,
    "dns": DNS,
}
NEWEST: Json = {
    **MIDDLE,
    "cniVersion": "1.0.0",
    "ips": [
        {"interface": 1, "address": "10.1.0.5/16", "gateway": "10.1.0.1"},
        {"interface": 1, "address": "2001:db8::5/64"},
    ],
}


def without_interfaces(result: Json) -> Json:
    ips = [{key: value for key, value in ip.items() if key != "interface"} for ip in result["ips"]]
    return {**{key: value for key, value in result.items() if key != "interfaces"}, "ips": ips}


@pytest.mark.parametrize(
    ("source", "expected"),
    [(MIDDLE, NEWEST), (NEWEST, MIDDLE), (MIDDLE, FIRST), (NEWEST, FIRST), (FIRST, without_interfaces(MIDDLE)),
     (FIRST, without_interfaces(NEWEST)), (MIDDLE, {**MIDDLE, "cniVersion": "0.3.1"}),
     (FIRST, {**FIRST, "cniVersion": "0.1.0"}), (NEWEST, {**NEWEST, "cniVersion": "1.1.0"})],
)  # fmt: skip
def test_a_result_is_converted_between_the_versions(source: Json, expected: Json) -> None:
    assert convert(source, expected["cniVersion"], "bridge") == expected


def test_keys_that_only_1_x_has_for_an_interface_are_dropped_on_the_way_down() -> None:
    interface = {"name": "eth1", "mtu": 9000, "socketPath": "/s", "pciID": "0000:00:1f.6", "sandbox": "/ns"}
    older = convert({"cniVersion": "1.1.0", "interfaces": [interface]}, "0.4.0", "x")
    assert older == {"cniVersion": "0.4.0", "interfaces": [{"name": "eth1", "sandbox": "/ns"}]}


def test_0_2_0_takes_the_first_address_of_each_family_if_there_is_one() -> None:
    ips = [{"address": address} for address in ("2001:db8::1/64", "10.0.0.1/8", "10.0.0.2/8", "2001:db8::2/64")]
    first = {"cniVersion": "0.2.0", "ip4": {"ip": "10.0.0.1/8"}, "ip6": {"ip": "2001:db8::1/64"}}
    assert convert({"cniVersion": "1.0.0", "ips": ips}, "0.2.0", "x") == first
    assert convert({"cniVersion": "1.0.0", "interfaces": [{"name": "eth1"}]}, "0.2.0", "x") == {"cniVersion": "0.2.0"}


def test_the_first_interface_of_the_list_is_not_taken_for_none() -> None:
    source = {"cniVersion": "1.0.0", "ips": [{"address": "10.0.0.1/8", "interface": 0}]}
    assert convert(source, "0.4.0", "x")["ips"][0]["interface"] == 0


def test_a_result_of_the_wanted_version_and_a_checked_one_are_left_as_they_are() -> None:
    source = {**NEWEST, "vendor": {"x": 1}}
    assert convert(source, "1.0.0", "x") is source
    assert checked(source, "0.4.0", "x") == source


@pytest.mark.parametrize("empty", [None, []])
def test_empty_parts_are_as_good_as_missing_ones(empty: Any) -> None:
    raw = {"cniVersion": "0.4.0", "interfaces": empty, "ips": empty, "routes": empty, "dns": None}
    assert checked(raw, "0.4.0", "x") == raw
    assert convert(raw, "1.0.0", "x") == {"cniVersion": "1.0.0"}


NO_INTERFACES: list[Any] = [{}, ["eth1"], [{}], [{"name": "eth1", "mac": 5}], [{"name": "eth1", "mtu": "9000"}]]
NO_ADDRESSES: list[Any] = [
    "10.0.0.1", "10.0.0.1/33", "10.0.0.256/8", "10.0.0.1/-1", "10.0.0.1/٨", "fe80::1%eth0/64", "2001:db8::/129",
    "2001:db8:::/64", 5,
]  # fmt: skip
MALFORMED: list[Json] = [
    *({"interfaces": bad} for bad in NO_INTERFACES),
    *({"ips": [{"address": bad}]} for bad in NO_ADDRESSES),
    {"ips": [None]},
    {"ips": [{}]},
    {"ips": [{"address": "10.0.0.1/8", "gateway": "router"}]},
    {"ips": [{"address": "10.0.0.1/8", "interface": "0"}]},
    {"ips": [{"address": "10.0.0.1/8", "interface": True}]},
    {"routes": [{"gw": "10.0.0.1"}]},
    {"routes": [{"dst": "0.0.0.0/0", "gw": 1}]},
    {"dns": []},
    {"cniVersion": "0.2.0", "ip4": "10.0.0.1/8"},
    {"cniVersion": "0.2.0", "ip4": {"gateway": "10.0.0.1"}},
    {"cniVersion": "0.2.0", "ip4": {"ip": "10.0.0.1/8", "routes": 1}},
]


@pytest.mark.parametrize("raw", MALFORMED)
def test_a_malformed_result_is_a_decoding_failure_that_names_the_plugin(raw: Json) -> None:
    with pytest.raises(PluginError, match="CNI plugin bridge: printed a malformed") as raised:
        checked(raw, "1.0.0", "bridge")
    assert raised.value.code == 6


@pytest.mark.parametrize("named", ["1.0", "2.0.0", "latest", 1])
def test_a_result_of_an_unknown_version_is_incompatible(named: Any) -> None:
    with pytest.raises(PluginError, match="is not one of") as raised:
        checked({"cniVersion": named}, "1.0.0", "bridge")
    assert raised.value.code == 1
