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
REQUIRED = {
    "ADD": ("CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"),
    "CHECK": ("CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"),
    "DEL": ("CNI_CONTAINERID", "CNI_IFNAME", "CNI_PATH"),
    "GC": ("CNI_PATH",),
    "STATUS": ("CNI_PATH",),
}
MAC = "02:00:00:00:00:01"
KNOWN = (
    "K8S_POD_NAMESPACE=default;K8S_POD_NAME=web;K8S_POD_INFRA_CONTAINER_ID=c1;K8S_POD_UID=8f5e-1;K8S_POD_NETWORK=green;"
    f"K8S_POD_NETWORK_NAMESPACE=default;K8S_POD_IFMAC={MAC};IP=10.0.0.2;MAC={MAC}"
)


def call(conf: Json | bytes = CONF, **environ: str) -> Call:
    return read_call(ENVIRON | environ, conf if isinstance(conf, bytes) else json.dumps(conf).encode())


def refused(code: int, conf: Json | bytes = CONF, **environ: str) -> str:
    with pytest.raises(Failure) as caught:
        call(conf, **environ)
    assert caught.value.code == code
    return f"{caught.value.message} {caught.value.details}"


def test_a_call_is_read_as_it_was_made() -> None:
    read = call(CNI_ARGS=KNOWN)
    assert (read.command, read.container_id, read.netns, read.ifname) == ("ADD", "c1", "/proc/7/ns/net", "eth0")
    assert read.path == ("/opt/cni/bin", "/usr/lib/cni")
    assert read.args == tuple(tuple(pair.split("=")) for pair in KNOWN.split(";"))
    assert (read.arg("K8S_POD_NETWORK"), read.arg("K8S_POD_X")) == ("green", "")
    assert (read.conf, read.cni_version) == (CONF, "0.4.0")


@pytest.mark.parametrize("command", REQUIRED)
def test_each_command_requires_its_variables_and_no_others(command: str) -> None:
    required = REQUIRED[command]
    assert f"env variables [{','.join(required)}] missing" in refused(4, CNI_COMMAND=command, **dict.fromkeys(required, ""))
    for name in required:
        assert f"env variables [{name}] missing" in refused(4, CNI_COMMAND=command, **{name: ""})
    environ = {"CNI_COMMAND": command} | {name: ENVIRON[name] for name in required}
    assert read_call(environ, json.dumps(CONF).encode()).command == command


def test_an_unknown_or_missing_command_is_refused() -> None:
    for command in ("ADD ", "add", "UPDATE", "DEL\n", "\udcff"):
        assert "unknown CNI_COMMAND" in refused(4, CNI_COMMAND=command)
    assert "[CNI_COMMAND] missing" in refused(4, CNI_COMMAND="")


UNUSABLE: dict[str, list[str]] = {
    "CNI_CONTAINERID": [
        "../x", "a/b", ".hidden", "-x", "a b", "c1\n", "x" * 241, "x" * 4096, "ü", "c;d", "a\x00b", "\udcff",
    ],
    "CNI_IFNAME": [".", "..", "a/b", "a:b", "eth 0", "eth0\n", "x" * 16, "\t"],
    "CNI_NETNS": ["relative/ns", "/proc/7/ns/net\n", "/x\x1b[0m"],
    "CNI_PATH": ["/opt/cni/bin\n:/x"],
}  # fmt: skip


@pytest.mark.parametrize("variable", UNUSABLE)
@pytest.mark.parametrize("command", ["ADD", "DEL", "CHECK"])
def test_an_unusable_variable_is_refused_by_name(command: str, variable: str) -> None:
    for value in UNUSABLE[variable]:
        assert f"{variable} is unusable" in refused(4, CNI_COMMAND=command, **{variable: value})


@pytest.mark.parametrize("pair", ["FOO", "FOO=1=2", "=1", "K8S_POD_NAME=web;", "A=1;;B=2", "A=\n1", "A=\x001"])
@pytest.mark.parametrize("tolerant", ["", "IgnoreUnknown=1;"])
def test_an_argument_that_is_no_pair_is_refused(pair: str, tolerant: str) -> None:
    assert "CNI_ARGS: invalid pair" in refused(4, CNI_ARGS=tolerant + pair)


def test_unknown_arguments_need_the_callers_tolerance() -> None:
    for tolerance in ("1", "true", "True", "TRUE"):
        assert ("FOO", "1") in call(CNI_ARGS=f"FOO=1;IgnoreUnknown={tolerance}").args
    for tolerance in ("", "IgnoreUnknown=0;", "IgnoreUnknown=false;", "IgnoreUnknown=;"):
        assert "FOO" in refused(4, CNI_ARGS=f"{tolerance}FOO=1")


def test_an_empty_argument_is_as_good_as_none() -> None:
    assert call(CNI_ARGS="K8S_POD_NETWORK=;K8S_POD_IFMAC=").arg("K8S_POD_NETWORK") == ""


HOSTILE_VALUES = ["../../etc", "a/b", "a\x00b", "a\nb", "UPPER", "-a", "a..b", "x" * 300, "a b", "é", "%2e%2e", "a?b#c"]
BAD_MACS = ["02:00", "02:00:00:00:00:0g", "01:00:5e:00:00:01", "00:00:00:00:00:00", "020000000001", f"{MAC} "]


@pytest.mark.parametrize("key", ["K8S_POD_NAMESPACE", "K8S_POD_NAME", "K8S_POD_NETWORK", "K8S_POD_NETWORK_NAMESPACE"])
def test_hostile_names_are_refused(key: str) -> None:
    for value in HOSTILE_VALUES:
        assert "CNI_ARGS" in refused(4, CNI_ARGS=f"IgnoreUnknown=1;{key}={value}")


@pytest.mark.parametrize("key", ["K8S_POD_IFMAC", "MAC"])
def test_a_mac_that_no_link_can_carry_is_refused(key: str) -> None:
    for mac in BAD_MACS:
        assert f"{key} is unusable" in refused(4, CNI_ARGS=f"IgnoreUnknown=1;{key}={mac}")


def test_the_version_is_one_that_is_known_and_the_first_if_none_is_named() -> None:
    for named in versions.KNOWN:
        assert call({**CONF, "cniVersion": named}).cni_version == named
    assert call({"name": "cluster"}).cni_version == "0.1.0"


@pytest.mark.parametrize("named", ["0.3", "1.2.0", "latest", 4, ["0.4.0"], {"a": 1}, "1.0.0\n"])
def test_an_unknown_version_is_reported_with_the_known_ones(named: Any) -> None:
    reported = refused(1, {**CONF, "cniVersion": named})
    assert "incompatible CNI versions" in reported
    assert "1.1.0" in reported


@pytest.mark.parametrize("command", REQUIRED)
def test_a_configuration_that_is_no_json_object_is_refused(command: str) -> None:
    for stdin in (b"", b"nonsense", b"[]", b"null", b'"x"', b"{", b"\xff\xfe", b'{"a": NaN}', b"[" * 100_000):
        refused(6, stdin, CNI_COMMAND=command)


def test_an_endless_configuration_is_refused() -> None:
    assert "16 MiB" in refused(6, b" " * (LONGEST_INPUT + 1))


def test_a_configuration_needs_a_usable_network_name() -> None:
    for missing in ({}, {"name": ""}, {"name": None}):
        assert "missing network name" in refused(7, {"cniVersion": "0.4.0", **missing})
    for name in ("../x", "a/b", "a b", "x\n", 5, ["x"]):
        assert "invalid network name" in refused(7, {**CONF, "name": name})


def test_gc_and_status_take_nothing_from_variables_that_are_not_theirs() -> None:
    read = call(CNI_COMMAND="STATUS", CNI_CONTAINERID="../x", CNI_IFNAME="/", CNI_ARGS="nonsense")
    assert (read.container_id, read.ifname, read.args) == ("", "", ())
