from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import podagent
from podagent.cni import invocation
from podagent.errors import CallRefused
from podagent.foreign import Json
from podagent.model import Target
from podagent.netconf import NetConf

TARGET = Target("abc123", "/proc/42/ns/net", "net8d777f385d3d")
SIX = {"CNI_COMMAND", "CNI_CONTAINERID", "CNI_NETNS", "CNI_ARGS", "CNI_IFNAME", "CNI_PATH"}


def stdin(plugin: Json, previous: Json | None = None, capability_args: Json | None = None) -> Json:
    netconf = NetConf({"cniVersion": "1.0.0", "name": "data", "plugins": [plugin], "disableCheck": True})
    sent: Json = json.loads(invocation.attachment_stdin(netconf, plugin, previous, capability_args or {}))
    return sent


@pytest.mark.parametrize("command", ["ADD", "CHECK", "DEL"])
def test_an_attachment_command_sets_all_six_variables(command: str) -> None:
    args = [("IgnoreUnknown", "1"), ("K8S_POD_NETWORK", "data"), ("K8S_POD_IFMAC", "")]
    assert invocation.attachment_variables(command, TARGET, args, ["/a", "/b"], "data") == {
        "CNI_COMMAND": command,
        "CNI_CONTAINERID": "abc123",
        "CNI_NETNS": "/proc/42/ns/net",
        "CNI_ARGS": "IgnoreUnknown=1;K8S_POD_NETWORK=data;K8S_POD_IFMAC=",
        "CNI_IFNAME": "net8d777f385d3d",
        "CNI_PATH": "/a:/b",
    }


@pytest.mark.parametrize("command", ["STATUS", "GC"])
def test_a_node_command_sets_the_path_and_leaves_the_others_empty(command: str) -> None:
    variables = invocation.node_variables(command, ["/a"], "data")
    assert set(variables) == SIX
    assert {key: value for key, value in variables.items() if value} == {"CNI_COMMAND": command, "CNI_PATH": "/a"}


@pytest.mark.parametrize(
    "pair",
    [
        ("K8S_POD_IFMAC", "00:11:22:33:44:55;K8S_POD_NAMESPACE=victim"),
        ("MAC", "a=b"),
        ("MAC", "a;b"),
        ("MAC", "a\0b"),
        ("MAC", "a\nb"),
        ("MAC", "\x1b[2J"),
        ("MAC", "\ud800"),
        ("K;EY", "x"),
        ("K=EY", "x"),
        ("", "x"),
    ],
)
def test_nothing_that_could_be_read_as_another_pair_gets_into_cni_args(pair: tuple[str, str]) -> None:
    with pytest.raises(CallRefused, match=r"^network data: no plugin was run: unusable CNI_ARGS pair") as raised:
        invocation.attachment_variables("ADD", TARGET, [("IgnoreUnknown", "1"), pair], ["/a"], "data")
    assert raised.value.code == 4


@pytest.mark.parametrize(
    "target",
    [
        Target("", "/ns", "eth1"),
        Target("../x", "/ns", "eth1"),
        Target("a\n", "/ns", "eth1"),
        Target("a", "/ns", ""),
        Target("a", "/ns", "a/b"),
        Target("a", "/ns", "sixteencharacter"),
        Target("a", "/ns\0", "eth1"),
        Target("a", "", "eth1"),
    ],
)
def test_an_unusable_target_is_refused(target: Target) -> None:
    with pytest.raises(CallRefused, match=r"unusable .* \[code 4\]"):
        invocation.attachment_variables("ADD", target, [], ["/a"], "data")


def test_del_is_possible_without_a_network_namespace() -> None:
    variables = invocation.attachment_variables("DEL", Target("a", "", "eth1"), [], ["/a"], "data")
    assert variables["CNI_NETNS"] == ""


@pytest.mark.parametrize("directory", ["/a:/b", "/a\0", "/a\n"])
def test_a_directory_that_cannot_stand_in_the_plugin_path_is_refused(directory: str) -> None:
    with pytest.raises(CallRefused, match="unusable plugin directory"):
        invocation.node_variables("STATUS", [directory], "data")


def test_only_cni_variables_and_the_search_path_of_the_caller_are_passed_on() -> None:
    environ = {
        "PATH": "/bin",
        "CNI_NETNS_OVERRIDE": "true",
        "_CNI_LOGGING_LEVEL": "debug",
        "NOTIFY_SOCKET": "@x",
        "HOME": "/root",
        "TOKEN": "secret",
        "LD_PRELOAD": "x.so",
    }
    assert set(invocation.inherited(environ)) == {"PATH", "CNI_NETNS_OVERRIDE", "_CNI_LOGGING_LEVEL"}


@pytest.mark.parametrize("environ", [{}, {"PATH": ""}])
def test_a_caller_without_search_path_gets_a_sane_one(environ: dict[str, str]) -> None:
    assert "/usr/sbin" in invocation.inherited(environ)["PATH"].split(":")


def test_name_and_version_of_the_list_replace_those_of_the_plugin_and_other_keys_pass_through() -> None:
    plugin = {"type": "bridge", "name": "own", "cniVersion": "0.1.0", "ipam": {"type": "static"}, "args": {"cni": {}}}
    assert stdin(plugin) == {**plugin, "name": "data", "cniVersion": "1.0.0"}


def test_the_previous_result_is_there_only_if_there_is_one() -> None:
    assert stdin({"type": "t"}, previous={"ips": []})["prevResult"] == {"ips": []}
    assert "prevResult" not in stdin({"type": "t"})


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
def test_runtime_config_is_what_is_both_declared_and_given(capabilities: Any, args: Json, expected: Any) -> None:
    sent = stdin({"type": "t", "capabilities": capabilities}, capability_args=args)
    assert sent.get("runtimeConfig") == expected
    assert ("runtimeConfig" in sent) is (expected is not None)
    assert sent["capabilities"] == capabilities


def test_building_the_input_leaves_the_configuration_as_it_was() -> None:
    plugin = {"type": "t", "capabilities": {"mac": True}}
    stdin(plugin, previous={"ips": []}, capability_args={"mac": "m"})
    assert plugin == {"type": "t", "capabilities": {"mac": True}}


def test_gc_names_the_attachments_that_stay_under_both_keys() -> None:
    netconf = NetConf({"cniVersion": "1.1.0", "name": "data", "plugins": []})
    sent = json.loads(invocation.gc_stdin(netconf, {"type": "t"}, [TARGET]))
    attachments = [{"containerID": "abc123", "ifname": "net8d777f385d3d"}]
    assert sent.pop("cni.dev/valid-attachments") == attachments
    assert sent.pop("cni.dev/attachments") == attachments
    assert sent == {"type": "t", "name": "data", "cniVersion": "1.1.0"}


def test_the_runtime_is_imported_without_heavy_modules() -> None:
    source = Path(podagent.__file__).parent.parent
    heavy = {"asyncio", "ipaddress", "logging", "pathlib", "socket", "ssl", "tempfile", "urllib", "click", "kubernetes"}
    script = f"import sys; sys.path.insert(0, {str(source)!r}); import podagent.cni.runtime, podagent.host.orphans\n"
    script += f"print(sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-ISc", script], capture_output=True, text=True, env=dict(os.environ))
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
