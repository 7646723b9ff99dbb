"""From a network definition, whose bytes are hostile, to a configuration that may be run."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podagent.errors import DefinitionError
from podagent.model import DefinitionRef
from podagent.netconf import NetConf
from podagent.resolve.definition import to_netconf
from podagent.validate import is_cni_name

DATA = DefinitionRef("networks.kaloom.com/v1", "default", "data")
BRIDGE = {"cniVersion": "0.4.0", "bridge": "br0", "ipam": {"type": "host-local"}}


def definition(config: Any, plugin: Any = "bridge") -> dict[str, Any]:
    text = config if isinstance(config, str) else json.dumps(config)
    return {"metadata": {"name": "data"}, "spec": {"plugin": plugin, "config": text}}


def convert(config: Any, plugin: Any = "bridge") -> NetConf:
    return to_netconf(definition(config, plugin), DATA)


def test_a_plugin_configuration_becomes_a_list_named_after_the_network() -> None:
    netconf = convert(BRIDGE)
    assert (netconf.name, netconf.version, netconf.type) == ("data", "0.4.0", "bridge")
    assert netconf.plugins[0]["bridge"] == "br0"


def test_a_name_in_the_configuration_is_kept() -> None:
    assert convert(BRIDGE | {"name": "shared"}).name == "shared"


def test_the_definitions_plugin_counts_whatever_the_configuration_says() -> None:
    assert convert(BRIDGE | {"type": "macvlan"}).type == "bridge"


def test_a_chain_is_kept_in_order() -> None:
    chain = {"cniVersion": "1.0.0", "plugins": [BRIDGE, {"type": "tuning"}]}
    assert [each["type"] for each in convert(chain).plugins] == ["bridge", "tuning"]


def test_the_plugin_must_be_the_first_of_the_chain() -> None:
    with pytest.raises(DefinitionError, match=r"default/data.*spec\.plugin"):
        convert({"plugins": [{"type": "macvlan"}]})


def test_an_ipam_plugin_without_a_type_is_none() -> None:
    assert convert(BRIDGE | {"ipam": {"type": ""}}).plugins[0]["ipam"] == {"type": ""}


@pytest.mark.parametrize("plugin", ["../x", "/bin/sh", "a/b", "", ".", "..", None, 7, [], "a\0", "a\n"])
def test_a_plugin_that_is_no_bare_name_is_refused(plugin: Any) -> None:
    with pytest.raises(DefinitionError, match="default/data"):
        convert(BRIDGE, plugin)


@pytest.mark.parametrize("name", ["../x", "/bin/sh", "..", 7, 0, ["host-local"], "a\0"])
@pytest.mark.parametrize("chained", [False, True])
def test_an_ipam_plugin_that_is_no_bare_name_is_refused(name: Any, chained: bool) -> None:
    bad = BRIDGE | {"ipam": {"type": name}}
    with pytest.raises(DefinitionError, match="default/data"):
        convert({"plugins": [{"type": "bridge"}, bad | {"type": "x"}]} if chained else bad)


@pytest.mark.parametrize(
    "config",
    [
        "",
        "{",
        "[]",
        "null",
        '"x"',
        "7",
        "NaN",
        '{"mtu": NaN}',
        '{"mtu": Infinity}',
        "[" * 100_000,
        '{"a":' * 100_000,
        {"plugins": []},
        {"plugins": {}},
        {"plugins": "bridge"},
        {"plugins": [7]},
        {"plugins": [{"type": "bridge"}, 7]},
        {"plugins": [{"type": "bridge"}, {}]},
        {"plugins": [{"type": "bridge"}, {"type": "../x"}]},
        {"name": "../x"},
        {"name": 7},
        {"name": "a b"},
        {"cniVersion": 7},
        {"ipam": []},
        {"capabilities": {"mac": "yes"}},
    ],
)
def test_a_configuration_that_cannot_be_run_is_refused_by_the_networks_name(config: Any) -> None:
    with pytest.raises(DefinitionError, match="default/data"):
        convert(config)


def test_a_configuration_beyond_all_measure_is_refused() -> None:
    with pytest.raises(DefinitionError, match="1 MiB"):
        convert(BRIDGE | {"x": "y" * (1 << 20)})


@pytest.mark.parametrize("spec", [None, [], "x", {}, {"plugin": "bridge"}, {"plugin": "bridge", "config": {}}])
def test_a_definition_without_its_parts_is_refused(spec: Any) -> None:
    with pytest.raises(DefinitionError, match="default/data"):
        to_netconf({"spec": spec}, DATA)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
keys = st.sampled_from(["name", "type", "cniVersion", "cniVersions", "plugins", "ipam", "capabilities", "disableCheck"])
configs = st.one_of(
    st.text(),
    anything.map(json.dumps),
    st.dictionaries(keys, anything | st.just([{"type": "bridge"}]) | st.just({"type": "x"})).map(json.dumps),
)


@given(configs, st.text() | st.just("bridge"))
def test_whatever_is_written_either_may_be_run_or_is_refused(config: str, plugin: str) -> None:
    try:
        netconf = convert(config, plugin)
    except DefinitionError as error:
        told = str(error)
        assert "default/data" in told
        return
    assert is_cni_name(netconf.name)
    assert netconf.plugins
    for each in netconf.plugins:
        ipam = each.get("ipam") or {}
        for name in filter(None, (each["type"], ipam.get("type"))):
            assert "/" not in name
            assert "\0" not in name
            assert name not in (".", "..")
    json.dumps(netconf.json, allow_nan=False)
