"""From a network definition, whose bytes are hostile, to a configuration that may be run."""

from __future__ import annotations

import json
from typing import Any

import pytest

from podagent.errors import DefinitionError
from podagent.foreign import Json
from podagent.model import DefinitionRef
from podagent.netconf import NetConf
from podagent.resolve.definition import to_netconf

DATA = DefinitionRef("networks.kaloom.com/v1", "default", "data")
BRIDGE: Json = {"cniVersion": "0.4.0", "bridge": "br0", "ipam": {"type": "host-local"}}


def convert(config: Json | str, plugin: Any = "bridge") -> NetConf:
    text = config if isinstance(config, str) else json.dumps(config)
    return to_netconf({"metadata": {"name": "data"}, "spec": {"plugin": plugin, "config": text}}, DATA)


@pytest.mark.parametrize(
    ("config", "name", "plugins"),
    [
        (BRIDGE, "data", [{**BRIDGE, "type": "bridge", "name": "data"}]),
        ({**BRIDGE, "name": "own"}, "own", [{**BRIDGE, "type": "bridge", "name": "own"}]),
        ({**BRIDGE, "type": "macvlan"}, "data", [{**BRIDGE, "type": "bridge", "name": "data"}]),
        ({"plugins": [{**BRIDGE, "type": "bridge"}, {"type": "tuning"}]}, "data",
         [{**BRIDGE, "type": "bridge"}, {"type": "tuning"}]),
        ({"plugins": [{}, {"type": "tuning"}]}, "data", [{"type": "bridge"}, {"type": "tuning"}]),
    ],
)  # fmt: skip
def test_a_configuration_becomes_a_list_named_after_the_network_with_the_plugin_as_type(
    config: Json, name: str, plugins: list[Json]
) -> None:
    netconf = convert(config)
    assert (netconf.name, netconf.type, netconf.plugins) == (name, "bridge", plugins)
    assert netconf.version == config.get("cniVersion", "0.1.0")


# All else that cannot be run is in the tests of podagent.netconf.
NO_OBJECTS = ["", "[]", "[" * 100_000, '{"mtu": NaN}']
UNUSABLE: list[Json] = [
    {"name": "../x"},
    {"ipam": {"type": "../x"}},
    {"plugins": []},
    {"plugins": "bridge"},
    {"plugins": [7]},
    {"plugins": [{"type": "macvlan"}]},  # not the plugin of the definition
    {"plugins": [{"type": "bridge"}, {"type": "../x"}]},
    {"plugins": [{"type": "bridge", "ipam": {"type": 7}}]},
]


@pytest.mark.parametrize("config", [*NO_OBJECTS, *UNUSABLE])
def test_a_configuration_that_cannot_be_run_is_refused_by_the_networks_name(config: Json | str) -> None:
    with pytest.raises(DefinitionError, match="default/data"):
        convert(config)


@pytest.mark.parametrize("plugin", ["../x", "/bin/sh", "a/b", "", ".", "..", None, 7, [], "a\0", "a\n"])
def test_a_plugin_that_is_no_bare_name_is_refused(plugin: Any) -> None:
    with pytest.raises(DefinitionError, match="default/data"):
        convert(BRIDGE, plugin)


@pytest.mark.parametrize(
    ("largest", "too_large", "why"),
    [
        (" " * ((64 << 10) - 2) + "{}", " " * ((64 << 10) - 1) + "{}", "64 KiB"),
        ({"x": [0] * 3996}, {"x": [0] * 4000}, "4000 JSON values"),
        ({"plugins": [{"type": "bridge"}] * 32}, {"plugins": [{"type": "bridge"}] * 33}, "32 plugins"),
    ],
)
def test_a_configuration_is_bounded(largest: Json | str, too_large: Json | str, why: str) -> None:
    assert convert(largest).type == "bridge"
    with pytest.raises(DefinitionError, match=f"default/data.*{why}"):
        convert(too_large)


@pytest.mark.parametrize("spec", [None, [], "x", {}, {"plugin": "bridge"}, {"plugin": "bridge", "config": {}}])
def test_a_definition_without_its_parts_is_refused(spec: Any) -> None:
    with pytest.raises(DefinitionError, match="default/data"):
        to_netconf({"spec": spec}, DATA)
