from __future__ import annotations

import json
from typing import Any

import pytest

from podagent import versions
from podagent.foreign import Json
from podagent.kactus.call import LONGEST_INPUT, Call, read_call
from podagent.kactus.failure import Failure

CONF: Json = {"cniVersion": "0.4.0", "name": "cluster", "type": "kactus", "delegates": [{"type": "bridge"}]}
ENVIRON = {
    "CNI_COMMAND": "ADD",
    "CNI_CONTAINERID": "c1",
    "CNI_NETNS": "/proc/7/ns/net",
    "CNI_IFNAME": "eth0",
    "CNI_PATH": "/opt/cni/bin:/usr/lib/cni",
    "CNI_ARGS": "",
}
COMMANDS = ("ADD", "DEL", "CHECK", "GC", "STATUS")
REQUIRED = {
    "ADD": ("CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"),
    "CHECK": ("CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"),
    "DEL": ("CNI_CONTAINERID", "CNI_IFNAME", "CNI_PATH"),
    "GC": ("CNI_PATH",),
    "STATUS": ("CNI_PATH",),
}
POD = "K8S_POD_NAMESPACE=default;K8S_POD_NAME=web;K8S_POD_INFRA_CONTAINER_ID=c1"


def call(conf: Json | bytes | None = None, **environ: str) -> Call:
    stdin = conf if isinstance(conf, bytes) else json.dumps(CONF if conf is None else conf).encode()
    return read_call(ENVIRON | environ, stdin)


def refused(code: int, conf: Json | bytes | None = None, **environ: str) -> str:
    with pytest.raises(Failure) as caught:
        call(conf, **environ)
    assert caught.value.code == code
    return f"{caught.value.message} {caught.value.details}"


def test_a_call_is_read_as_it_was_made() -> None:
    args = f"IgnoreUnknown=1;{POD};K8S_POD_NETWORK=green;K8S_POD_IFMAC=02:00:00:00:00:01"
    read = call(CNI_ARGS=args)
    assert (read.command, read.container_id, read.netns, read.ifname) == ("ADD", "c1", "/proc/7/ns/net", "eth0")
    assert read.path == ("/opt/cni/bin", "/usr/lib/cni")
    assert (read.arg("K8S_POD_NETWORK"), read.arg("K8S_POD_NAME"), read.arg("K8S_POD_UID")) == ("green", "web", "")
    assert (read.conf, read.cni_version) == (CONF, "0.4.0")


@pytest.mark.parametrize(
    ("command", "variable"), [(command, name) for command, names in REQUIRED.items() for name in names]
)
def test_a_missing_variable_is_named(command: str, variable: str) -> None:
    environ = ENVIRON | {"CNI_COMMAND": command}
    del environ[variable]
    with pytest.raises(Failure, match=rf"required env variables \[{variable}\] missing") as caught:
        read_call(environ, json.dumps(CONF).encode())
    assert caught.value.code == 4


@pytest.mark.parametrize("command", COMMANDS)
def test_all_missing_variables_are_named_at_once(command: str) -> None:
    with pytest.raises(Failure) as caught:
        read_call({"CNI_COMMAND": command}, json.dumps(CONF).encode())
    assert caught.value.code == 4
    assert f"[{','.join(REQUIRED[command])}]" in caught.value.message


@pytest.mark.parametrize("command", COMMANDS)
def test_what_a_command_does_not_require_may_be_missing(command: str) -> None:
    environ = {"CNI_COMMAND": command} | {name: ENVIRON[name] for name in REQUIRED[command]}
    assert read_call(environ, json.dumps(CONF).encode()).command == command


@pytest.mark.parametrize("command", ["ADD ", "add", "UPDATE", "DEL\n", "\udcff"])
def test_an_unknown_command_is_refused(command: str) -> None:
    assert "unknown CNI_COMMAND" in refused(4, CNI_COMMAND=command)


def test_a_missing_command_is_named() -> None:
    assert "CNI_COMMAND" in refused(4, CNI_COMMAND="")


HOSTILE_IDS = ["../x", "a/b", ".hidden", "-x", "a b", "c1\n", "x" * 241, "x" * 4096, "ü", "c;d", "a\x00b", "\udcff"]


@pytest.mark.parametrize("container_id", HOSTILE_IDS)
@pytest.mark.parametrize("command", ["ADD", "DEL", "CHECK"])
def test_a_container_id_that_is_no_safe_file_name_is_refused(command: str, container_id: str) -> None:
    assert "CNI_CONTAINERID" in refused(4, CNI_COMMAND=command, CNI_CONTAINERID=container_id)


@pytest.mark.parametrize("ifname", ["", ".", "..", "a/b", "a:b", "eth 0", "eth0\n", "x" * 16, "\t"])
def test_an_unusable_interface_name_is_refused(ifname: str) -> None:
    assert "CNI_IFNAME" in refused(4, CNI_IFNAME=ifname)


@pytest.mark.parametrize("netns", ["relative/ns", "/proc/7/ns/net\n", "/x\x1b[0m"])
def test_an_unusable_namespace_path_is_refused(netns: str) -> None:
    assert "CNI_NETNS" in refused(4, CNI_NETNS=netns)


def test_an_unprintable_plugin_path_is_refused() -> None:
    assert "CNI_PATH" in refused(4, CNI_PATH="/opt/cni/bin\n:/x")


@pytest.mark.parametrize("pair", ["FOO", "FOO=1=2", "=1", "K8S_POD_NAME=web;", "A=1;;B=2", "A=\n1", "A=\x001"])
@pytest.mark.parametrize("tolerant", ["", "IgnoreUnknown=1;"])
def test_an_argument_that_is_no_pair_is_refused(pair: str, tolerant: str) -> None:
    assert "CNI_ARGS" in refused(4, CNI_ARGS=tolerant + pair)


@pytest.mark.parametrize("tolerance", ["1", "true", "True", "TRUE"])
def test_unknown_arguments_are_let_through_when_the_caller_says_so(tolerance: str) -> None:
    read = call(CNI_ARGS=f"FOO=1;IgnoreUnknown={tolerance}")
    assert ("FOO", "1") in read.args


@pytest.mark.parametrize("tolerance", ["", "IgnoreUnknown=0;", "IgnoreUnknown=false;", "IgnoreUnknown=;"])
def test_unknown_arguments_are_refused_otherwise(tolerance: str) -> None:
    assert "FOO" in refused(4, CNI_ARGS=f"{tolerance}FOO=1")


def test_every_argument_that_kactus_knows_needs_no_tolerance() -> None:
    known = f"{POD};K8S_POD_UID=8f5e-1;K8S_POD_NETWORK=green;K8S_POD_NETWORK_NAMESPACE=default"
    read = call(CNI_ARGS=f"{known};K8S_POD_IFMAC=02:00:00:00:00:01;IP=10.0.0.2;MAC=02:00:00:00:00:02")
    assert read.arg("K8S_POD_NETWORK") == "green"


def test_an_empty_argument_is_as_good_as_none() -> None:
    assert call(CNI_ARGS=f"{POD};K8S_POD_NETWORK=;K8S_POD_IFMAC=").arg("K8S_POD_NETWORK") == ""


HOSTILE_VALUES = ["../../etc", "a/b", "a\x00b", "a\nb", "UPPER", "-a", "a..b", "x" * 300, "a b", "é", "%2e%2e", "a?b#c"]


@pytest.mark.parametrize("value", HOSTILE_VALUES)
@pytest.mark.parametrize("key", ["K8S_POD_NAMESPACE", "K8S_POD_NAME", "K8S_POD_NETWORK", "K8S_POD_NETWORK_NAMESPACE"])
def test_hostile_names_are_refused(key: str, value: str) -> None:
    assert "CNI_ARGS" in refused(4, CNI_ARGS=f"IgnoreUnknown=1;{key}={value}")


def test_what_follows_a_separator_is_an_argument_of_its_own() -> None:
    assert "invalid pair" in refused(4, CNI_ARGS="IgnoreUnknown=1;K8S_POD_NAME=web;rm -rf")


@pytest.mark.parametrize(
    "mac",
    ["02:00", "02:00:00:00:00:0g", "01:00:5e:00:00:01", "00:00:00:00:00:00", "020000000001", "02:00:00:00:00:01 "],
)
def test_a_mac_that_no_link_can_carry_is_refused(mac: str) -> None:
    assert "K8S_POD_IFMAC" in refused(4, CNI_ARGS=f"IgnoreUnknown=1;K8S_POD_IFMAC={mac}")


@pytest.mark.parametrize("named", versions.KNOWN)
def test_every_released_version_is_known(named: str) -> None:
    assert call({**CONF, "cniVersion": named}).cni_version == named


def test_a_configuration_without_a_version_is_of_the_first() -> None:
    assert call({"name": "cluster"}).cni_version == "0.1.0"


@pytest.mark.parametrize("named", ["0.3", "1.2.0", "2.0.0", "9.9.9", "latest", 4, ["0.4.0"], {"a": 1}, "1.0.0\n"])
def test_an_unknown_version_is_told_with_those_that_are_known(named: Any) -> None:
    told = refused(1, {**CONF, "cniVersion": named})
    assert "incompatible CNI versions" in told
    assert "1.1.0" in told


@pytest.mark.parametrize(
    "stdin", [b"", b"nonsense", b"[]", b"null", b'"x"', b"{", b"\xff\xfe", b'{"a": NaN}', b"[" * 100_000]
)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_configuration_that_is_no_json_object_is_refused(command: str, stdin: bytes) -> None:
    refused(6, stdin, CNI_COMMAND=command)


def test_an_endless_configuration_is_refused() -> None:
    assert "16 MiB" in refused(6, b" " * (LONGEST_INPUT + 1))


@pytest.mark.parametrize("conf", [{}, {"name": ""}, {"name": None}])
def test_a_configuration_without_a_name_is_refused(conf: Json) -> None:
    assert "missing network name" in refused(7, {"cniVersion": "0.4.0", **conf})


@pytest.mark.parametrize("name", ["../x", "a/b", "a b", "x\n", 5, ["x"]])
def test_a_bad_network_name_is_refused(name: Any) -> None:
    assert "invalid network name" in refused(7, {**CONF, "name": name})


def test_gc_and_status_take_nothing_from_variables_that_are_not_theirs() -> None:
    read = call(CNI_COMMAND="STATUS", CNI_CONTAINERID="../x", CNI_IFNAME="/", CNI_ARGS="nonsense")
    assert (read.container_id, read.ifname, read.args) == ("", "", ())
