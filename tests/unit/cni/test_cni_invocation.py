from __future__ import annotations

import json
from typing import Any

import pytest

from podagent.cni import invocation
from podagent.errors import CallRefused
from podagent.foreign import Json
from podagent.model import Target
from podagent.netconf import NetConf

TARGET = Target("abc123", "/proc/42/ns/net", "net8d777f385d3d")


def stdin(
    plugin: Json, previous: Json | None = None, capability_args: Json | None = None, version: str = "1.0.0"
) -> Json:
    netconf = NetConf({"cniVersion": version, "name": "data", "plugins": [plugin], "disableCheck": True})
    sent: Json = json.loads(invocation.attachment_stdin(netconf, plugin, previous, capability_args or {}))
    return sent


@pytest.mark.parametrize(
    "pair",
    [("K8S_POD_IFMAC", "00:11:22:33:44:55;K8S_POD_NAMESPACE=victim"), ("MAC", "a=b"), ("MAC", "a;b"), ("MAC", "a\0b"),
     ("MAC", "a\nb"), ("MAC", "\x1b[2J"), ("MAC", "\ud800"), ("K;EY", "x"), ("K=EY", "x"), ("", "x")],
)  # fmt: skip
def test_nothing_that_could_be_read_as_another_pair_gets_into_cni_args(pair: tuple[str, str]) -> None:
    with pytest.raises(CallRefused, match=r"^network data: no plugin was run: unusable CNI_ARGS pair") as raised:
        invocation.attachment_variables("ADD", TARGET, [("IgnoreUnknown", "1"), pair], ["/a"], "data")
    assert raised.value.code == 4


@pytest.mark.parametrize(
    "target",
    [*(Target(container_id, "/ns", "eth1") for container_id in ("", "../x", "a\n")),
     *(Target("a", "/ns", ifname) for ifname in ("", "a/b", "sixteencharacter")),
     *(Target("a", netns, "eth1") for netns in ("/ns\0", ""))],
)  # fmt: skip
def test_an_unusable_target_is_refused(target: Target) -> None:
    with pytest.raises(CallRefused, match=r"unusable .* \[code 4\]"):
        invocation.attachment_variables("ADD", target, [], ["/a"], "data")


@pytest.mark.parametrize("directory", ["/a:/b", "/a\0", "/a\n"])
def test_a_directory_that_cannot_stand_in_the_plugin_path_is_refused(directory: str) -> None:
    with pytest.raises(CallRefused, match="unusable plugin directory"):
        invocation.node_variables("STATUS", [directory], "data")


def test_only_cni_variables_and_the_search_path_of_the_caller_are_passed_on() -> None:
    passed_on = {"PATH": "/bin", "CNI_NETNS_OVERRIDE": "true", "_CNI_LOGGING_LEVEL": "debug"}
    kept_back = {"NOTIFY_SOCKET": "@x", "HOME": "/root", "TOKEN": "secret", "LD_PRELOAD": "x.so"}
    assert invocation.inherited(passed_on | kept_back) == passed_on
    for without_path in ({}, {"PATH": ""}):
        assert "/usr/sbin" in invocation.inherited(without_path)["PATH"].split(":")


def test_name_and_version_of_the_list_replace_those_of_the_plugin_and_other_keys_pass_through() -> None:
    plugin = {"type": "bridge", "name": "own", "cniVersion": "0.1.0", "ipam": {"type": "static"}, "args": {"cni": {}}}
    assert stdin(plugin) == {**plugin, "name": "data", "cniVersion": "1.0.0"}


def test_plugins_of_a_list_without_a_version_get_none() -> None:
    assert stdin({"type": "bridge", "cniVersion": "0.4.0"}, version="") == {"type": "bridge", "name": "data"}


@pytest.mark.parametrize(
    ("capabilities", "args", "expected"),
    [
        ({"mac": True, "ips": True}, {"mac": "m", "bandwidth": {}}, {"mac": "m"}),
        ({"mac": False}, {"mac": "m"}, None),
        ({"mac": True}, {}, None),
        (None, {"mac": "m"}, None),
        ({"portMappings": True}, {"portMappings": []}, {"portMappings": []}),
    ],
)
def test_runtime_config_is_the_arguments_that_are_both_declared_and_given(
    capabilities: Any, args: Json, expected: Json | None
) -> None:
    plugin = {"type": "t", "capabilities": capabilities}
    runtime_config = {} if expected is None else {"runtimeConfig": expected}
    sent = {"type": "t", "capabilities": capabilities, "name": "data", "cniVersion": "1.0.0", **runtime_config}
    assert stdin(plugin, {"ips": []}, args) == {**sent, "prevResult": {"ips": []}}
    assert plugin == {"type": "t", "capabilities": capabilities}
