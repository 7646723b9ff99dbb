"""The one form that every network configuration is brought into, and what is refused on the way."""

from __future__ import annotations

import json
from typing import Any

import pytest

from podagent.errors import NetConfError
from podagent.foreign import Json
from podagent.netconf import NetConf, parse

PLUGIN = {"cniVersion": "0.4.0", "name": "data", "type": "bridge", "bridge": "br0"}
LIST = {"cniVersion": "1.0.0", "name": "data", "plugins": [{"type": "bridge"}, {"type": "tuning"}]}


def test_a_configuration_tells_its_name_version_and_first_plugin() -> None:
    netconf = parse(LIST, "x")
    assert (netconf.name, netconf.version, netconf.type) == ("data", "1.0.0", "bridge")
    assert netconf.plugins == [{"type": "bridge"}, {"type": "tuning"}]


def test_a_flag_that_is_missing_says_no() -> None:
    assert not parse(LIST, "x").says("disableCheck")


@pytest.mark.parametrize(("floor", "reached"), [("0.4.0", True), ("1.0.0", True), ("1.1.0", False)])
def test_its_version_is_compared_as_numbers(floor: str, reached: bool) -> None:
    assert parse(LIST, "x").at_least(floor) is reached


def test_a_version_that_cannot_be_compared_is_told_with_the_name_of_the_network() -> None:
    with pytest.raises(NetConfError, match="network data: 'cniVersion': 'new' is not a CNI version"):
        NetConf({**LIST, "cniVersion": "new"}).at_least("1.0.0")


@pytest.mark.parametrize("ipam", [None, {}, {"type": ""}, {"type": None}])
def test_a_plugin_may_do_without_ipam(ipam: Json | None) -> None:
    assert parse({**PLUGIN, "ipam": ipam}, "x").plugins[0]["ipam"] == ipam


def test_a_plugin_configuration_becomes_a_list_of_one() -> None:
    assert parse(json.dumps(PLUGIN), "x").json == {"cniVersion": "0.4.0", "name": "data", "plugins": [PLUGIN]}


@pytest.mark.parametrize("form", [LIST, json.dumps(LIST), json.dumps(LIST).encode()], ids=["decoded", "text", "bytes"])
def test_a_list_is_taken_decoded_as_text_or_as_bytes(form: Json | str | bytes) -> None:
    assert parse(form, "x").json == LIST


def test_reading_a_list_again_changes_nothing() -> None:
    once = parse({**LIST, "cniVersions": ["1.1.0", "0.4.0"], "disableCheck": "True"}, "x")
    assert parse(once.json, "x") == once


def test_keys_it_does_not_know_are_kept() -> None:
    assert parse({**LIST, "vendor": {"a": [1]}}, "x").json["vendor"] == {"a": [1]}


@pytest.mark.parametrize("conf", [{"name": "n", "type": "t"}, {"name": "n", "plugins": [{"type": "t"}]}])
def test_a_configuration_without_version_is_0_1_0(conf: Json) -> None:
    assert parse(conf, "x").version == "0.1.0"


def test_the_highest_usable_of_the_offered_versions_is_taken() -> None:
    conf = {**LIST, "cniVersion": "0.4.0", "cniVersions": ["0.3.1", "1.1.0", "9.0.0"]}
    assert parse(conf, "x").version == "1.1.0"


@pytest.mark.parametrize("key", ["disableCheck", "disableGC", "loadOnlyInlinedPlugins"])
@pytest.mark.parametrize(("value", "means"), [(True, True), ("TRUE", True), ("false", False), (False, False)])
def test_flags_may_be_booleans_or_their_names(key: str, value: Any, means: bool) -> None:
    assert parse({**LIST, key: value}, "x").says(key) is means


@pytest.mark.parametrize(
    ("conf", "complaint"),
    [
        ("{not json", "not JSON"),
        (b"\xff\xfe{}", "not UTF-8"),
        ("[" * 100_000, "nested too deeply"),
        ('{"name": "n", "type": "t", "x": NaN}', "NaN is not a JSON value"),
        ("[]", "a JSON object is needed, not a list"),
        ("null", "a JSON object is needed, not null"),
        ({"name": "n"}, "missing 'type'"),
        ({"name": "n", "type": ""}, "missing 'type'"),
        ({"name": "n", "type": 1}, "'type' must be the bare file name"),
        ({"name": "n", "type": "../../bin/sh"}, "'type' must be the bare file name"),
        ({"name": "n", "type": "t", "ipam": {"type": "../x"}}, "'ipam.type' must be the bare file name"),
        ({"name": "n", "type": "t", "ipam": {"type": 0}}, "'ipam.type' must be the bare file name"),
        ({"name": "n", "type": "t", "ipam": []}, "'ipam' must be an object, not a list"),
        ({"name": "n", "type": "t", "capabilities": {"mac": "yes"}}, "capability 'mac' must be true or false"),
        ({"type": "t"}, "missing 'name'"),
        ({"name": 1, "type": "t"}, "'name' must be a string"),
        ({"name": "../x", "type": "t"}, "is not a network name"),
        ({"name": "n\n", "type": "t"}, "is not a network name"),
        ({"name": "n", "type": "t", "cniVersion": "newest"}, "'newest' is not a CNI version"),
        ({"name": "n", "type": "t", "cniVersion": 1.0}, "'cniVersion' must be a string, not a number"),
        ({"plugins": [{"type": "t"}]}, "missing 'name'"),
        ({"name": 1, "plugins": [{"type": "t"}]}, "'name' must be a string, not a number"),
        ({"name": "n", "plugins": []}, "'plugins' is empty"),
        ({"name": "n", "plugins": None}, "'plugins' must be a list, not null"),
        ({"name": "n", "plugins": {}}, "'plugins' must be a list, not an object"),
        ({"name": "n", "plugins": ["t"]}, r"plugins\[0\]: a plugin must be an object, not a string"),
        ({"name": "n", "plugins": [{"type": "t"}, {}]}, r"plugins\[1\]: missing 'type'"),
        ({**LIST, "cniVersion": 1}, "'cniVersion' must be a string"),
        ({**LIST, "cniVersions": "1.0.0"}, "'cniVersions' must be a list of strings"),
        ({**LIST, "cniVersions": ["1.0.0", "x"]}, "'cniVersions': 'x' is not a CNI version"),
        ({**LIST, "disableCheck": "maybe"}, "'disableCheck' must be true or false, not 'maybe'"),
        ({**LIST, "disableGC": 1}, "'disableGC' must be true or false"),
    ],
)
def test_a_malformed_configuration_is_refused_by_origin_and_key(conf: Any, complaint: str) -> None:
    with pytest.raises(NetConfError, match=f"^Network default/x: .*{complaint}"):
        parse(conf, "Network default/x")
