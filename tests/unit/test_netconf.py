"""The one form that every network configuration is brought into, and what is refused on the way."""

from __future__ import annotations

import json

import pytest

from podagent.errors import NetConfError
from podagent.foreign import Json
from podagent.netconf import NetConf, parse

PLUGIN = {"cniVersion": "0.4.0", "name": "data", "type": "bridge", "bridge": "br0"}
LIST = {"cniVersion": "1.0.0", "name": "data", "plugins": [{"type": "bridge"}, {"type": "tuning"}]}
NAMED = {"name": "n", "type": "t"}


@pytest.mark.parametrize("form", [LIST, json.dumps(LIST), json.dumps(LIST).encode()], ids=["decoded", "text", "bytes"])
def test_a_list_has_a_name_a_version_and_plugins_whatever_form_it_comes_in(form: Json | str | bytes) -> None:
    netconf = parse(form, "x")
    assert netconf == NetConf(LIST)
    assert (netconf.name, netconf.version, netconf.type) == ("data", "1.0.0", "bridge")
    assert netconf.plugins == [{"type": "bridge"}, {"type": "tuning"}]


def test_a_plugin_configuration_becomes_a_list_of_one_and_may_do_without_ipam() -> None:
    for plugin in (PLUGIN, *(PLUGIN | {"ipam": ipam} for ipam in (None, {}, {"type": ""}, {"type": None}))):
        assert parse(json.dumps(plugin), "x").json == {"cniVersion": "0.4.0", "name": "data", "plugins": [plugin]}


def test_unknown_keys_are_kept_and_reading_a_list_again_changes_nothing() -> None:
    once = parse({**LIST, "cniVersions": ["1.1.0", "0.4.0"], "disableCheck": "True", "vendor": {"a": [1]}}, "x")
    assert once.json["vendor"] == {"a": [1]}
    assert parse(once.json, "x") == once


def test_the_version_is_the_highest_usable_one_offered_or_0_1_0_and_is_compared_as_numbers() -> None:
    offering = {**LIST, "cniVersion": "0.4.0", "cniVersions": ["0.3.1", "1.1.0", "9.0.0"]}
    confs: list[Json] = [NAMED, {"name": "n", "plugins": [{"type": "t"}]}, offering]
    assert [parse(conf, "x").version for conf in confs] == ["0.1.0", "0.1.0", "1.1.0"]
    assert [parse(conf, "x").json["cniVersion"] for conf in confs] == ["", "", "1.1.0"]
    reached = [parse(LIST, "x").at_least(floor) for floor in ("0.4.0", "1.0.0", "1.1.0")]
    assert reached == [True, True, False]
    with pytest.raises(NetConfError, match="network data: 'cniVersion': 'new' is not a CNI version"):
        NetConf({**LIST, "cniVersion": "new"}).at_least("1.0.0")


@pytest.mark.parametrize("key", ["disableCheck", "disableGC", "loadOnlyInlinedPlugins"])
def test_flags_may_be_booleans_or_their_names_or_missing(key: str) -> None:
    said = [parse({**LIST, key: value}, "x").has_flag(key) for value in (True, "TRUE", "false", False)]
    assert said == [True, True, False, False]
    assert not parse(LIST, "x").has_flag(key)


@pytest.mark.parametrize(
    ("conf", "complaint"),
    [
        ("{not json", "not JSON"),
        (b"\xff\xfe{}", "not UTF-8"),
        ({"name": "n"}, "missing 'type'"),
        ({"name": "n", "type": ""}, "missing 'type'"),
        ({"name": "n", "type": 1}, "'type' must be the bare file name"),
        ({"name": "n", "type": "../../bin/sh"}, "'type' must be the bare file name"),
        ({**NAMED, "ipam": {"type": "../x"}}, "'ipam.type' must be the bare file name"),
        ({**NAMED, "ipam": {"type": 0}}, "'ipam.type' must be the bare file name"),
        ({**NAMED, "ipam": []}, "'ipam' must be an object, not a list"),
        ({**NAMED, "capabilities": {"mac": "yes"}}, "capability 'mac' must be true or false"),
        ({"type": "t"}, "missing 'name'"),
        ({**NAMED, "name": 1}, "'name' must be a string"),
        ({**NAMED, "name": "../x"}, "is not a network name"),
        ({**NAMED, "name": "n\n"}, "is not a network name"),
        ({**NAMED, "cniVersion": "newest"}, "'newest' is not a CNI version"),
        ({**NAMED, "cniVersion": 1.0}, "'cniVersion' must be a string, not a number"),
        ({"plugins": [{"type": "t"}]}, "missing 'name'"),
        ({**LIST, "name": 1}, "'name' must be a string, not a number"),
        ({**LIST, "plugins": []}, "'plugins' is empty"),
        ({**LIST, "plugins": None}, "'plugins' must be a list, not null"),
        ({**LIST, "plugins": {}}, "'plugins' must be a list, not an object"),
        ({**LIST, "plugins": ["t"]}, r"plugins\[0\]: a plugin must be an object, not a string"),
        ({**LIST, "plugins": [{"type": "t"}, {}]}, r"plugins\[1\]: missing 'type'"),
        ({**LIST, "cniVersion": 1}, "'cniVersion' must be a string"),
        ({**LIST, "cniVersions": "1.0.0"}, "'cniVersions' must be a list of strings"),
        ({**LIST, "cniVersions": ["1.0.0", "x"]}, "'cniVersions': 'x' is not a CNI version"),
        ({**LIST, "disableCheck": "maybe"}, "'disableCheck' must be true or false, not 'maybe'"),
        ({**LIST, "disableGC": 1}, "'disableGC' must be true or false"),
    ],
)
def test_a_malformed_configuration_is_refused_by_origin_and_key(conf: Json | str | bytes, complaint: str) -> None:
    with pytest.raises(NetConfError, match=f"^Network default/x: .*{complaint}"):
        parse(conf, "Network default/x")
