"""A call and its configuration: how they are read, and all values for which they are refused."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from podagent import versions
from podagent.foreign import Json
from podagent.kactus.call import LONGEST_INPUT, Call, read_call
from podagent.kactus.config import Config, read_config
from podagent.kactus.failure import Failure

BRIDGE: Json = {"type": "bridge", "bridge": "br0", "name": "pods", "cniVersion": "0.3.1"}
MASTER: Json = {**BRIDGE, "masterPlugin": True}
CHAIN: Json = {"plugins": [{"type": "bridge"}, {"type": "tuning"}]}
CONF: Json = {"cniVersion": "0.4.0", "name": "cluster", "type": "kactus", "delegates": [MASTER]}
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
EVERY_ARGUMENT = (
    "K8S_POD_NAMESPACE=default;K8S_POD_NAME=web;K8S_POD_INFRA_CONTAINER_ID=c1;K8S_POD_UID=8f5e-1;K8S_POD_NETWORK=green;"
    f"K8S_POD_NETWORK_NAMESPACE=default;K8S_POD_IFMAC={MAC};IP=10.0.0.2;MAC={MAC}"
)
NO_PAIRS = ["FOO", "FOO=1=2", "=1", "K8S_POD_NAME=web;", "A=1;;B=2", "K8S_POD_NAME=\n1", "K8S_POD_NAME=\x001"]
NO_NAMES = ["../../etc", "a/b", "UPPER", "-a", "a..b", "x" * 300, "a b", "é", "%2e%2e", "a?b#c"]
NO_ADDRESSES = ["x", "02:00", "02:00:00:00:00:0g", "020000000001", f"{MAC} "]
NO_MACS = [*NO_ADDRESSES, "01:00:5e:00:00:01", "ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00"]
NO_IDS = ["../x", "a/b", ".hidden", "-x", "a b", "c1\n", "x" * 241, "x" * 4096, "ü", "c;d", "a\x00b", "\udcff"]
NO_LINKS = [".", "..", "a/b", "eth0/../x", "a:b", "eth 0", "eth0\n", "x" * 16, "\t"]
NO_PATHS = ["relative", "./x", "~/x", "/x\n", "/x\0y", 7, ["/x"], True]
NO_VERSIONS = ["0.3", "1.2.0", "9.9.9", "latest", 4, ["0.4.0"], {"a": 1}, "1.0.0\n"]


def call(conf: Json | bytes = CONF, environ: dict[str, str] | None = None) -> Call:
    return read_call(ENVIRON | (environ or {}), conf if isinstance(conf, bytes) else json.dumps(conf).encode())


def config(**changes: object) -> Config:
    return read_config(call(CONF | changes).conf)


def refused(code: int, conf: Json | bytes = CONF, environ: dict[str, str] | None = None) -> str:
    with pytest.raises(Failure) as caught:
        read_config(call(conf, environ).conf)
    assert caught.value.code == code
    return f"{caught.value.message} {caught.value.details}"


def test_a_call_is_read_as_it_was_made() -> None:
    read = call(environ={"CNI_ARGS": EVERY_ARGUMENT})
    assert (read.command, read.container_id, read.netns, read.ifname) == ("ADD", "c1", "/proc/7/ns/net", "eth0")
    assert read.path == ("/opt/cni/bin", "/usr/lib/cni")
    assert read.args == tuple(tuple(pair.split("=")) for pair in EVERY_ARGUMENT.split(";"))
    assert (read.arg("K8S_POD_NETWORK"), read.arg("K8S_POD_X")) == ("green", "")
    assert (read.conf, read.cni_version) == (CONF, "0.4.0")


@pytest.mark.parametrize("command", REQUIRED)
def test_each_command_requires_its_variables_and_no_others(command: str) -> None:
    required = REQUIRED[command]
    for missing in (required, *((name,) for name in required)):
        environ = {"CNI_COMMAND": command, **dict.fromkeys(missing, "")}
        assert f"required env variables [{','.join(missing)}] missing" in refused(4, environ=environ)
    complete = {"CNI_COMMAND": command} | {name: ENVIRON[name] for name in required}
    assert read_call(complete, json.dumps(CONF).encode()).command == command


def test_unknown_arguments_need_the_callers_tolerance_and_empty_ones_are_as_good_as_none() -> None:
    for tolerance in ("1", "true", "True", "TRUE"):
        read = call(environ={"CNI_ARGS": f"FOO=1;IgnoreUnknown={tolerance};K8S_POD_NETWORK="})
        assert read.args[0] == ("FOO", "1")
        assert read.arg("K8S_POD_NETWORK") == ""


def test_gc_and_status_take_nothing_from_variables_that_are_not_theirs() -> None:
    hostile = {"CNI_COMMAND": "STATUS", "CNI_CONTAINERID": "../x", "CNI_IFNAME": "/", "CNI_ARGS": "nonsense"}
    read = call(environ=hostile)
    assert (read.container_id, read.ifname, read.args) == ("", "", ())


def test_the_version_is_one_that_is_known_and_the_first_if_none_is_named() -> None:
    for named in versions.KNOWN:
        assert call({**CONF, "cniVersion": named}).cni_version == named
    assert call({"name": "cluster"}).cni_version == "0.1.0"


def test_the_configuration_is_read_with_the_defaults_of_kaloom() -> None:
    for empty in ({}, {"kubeconfig": None, "cniDir": None}):
        assert config(**empty) == Config("", "/var/lib/cni/kactus", MASTER, ("default",))
    for namespaces in (["infra", "default"], []):
        given = config(kubeconfig="/k", cniDir="/d", globalNamespaces=namespaces)
        assert given[:4] == ("/k", "/d", MASTER, tuple(namespaces))
        assert given.rules.trusted == frozenset(namespaces)


def test_the_rules_for_definitions_are_spelled_as_the_other_keys_are() -> None:
    allowed = {"allowedPlugins": ["host-device"], "allowedOptions": ["dataDir"], "allowedLinks": ["eth1"]}
    rules = config(trustedNamespaces=["infra"], **allowed).rules
    assert rules[:4] == (frozenset({"infra"}), frozenset({"host-device"}), frozenset({"dataDir"}), ("eth1",))
    assert rules.spell("allowed-plugins") == "allowedPlugins"
    assert config(definitionPolicy="trust-all").rules.trusted is None


@pytest.mark.parametrize(
    ("delegates", "master"),
    [
        ([BRIDGE], MASTER),
        ([{"type": "macvlan"}, MASTER], MASTER),
        ([{"type": "macvlan"}, {**BRIDGE, "masterplugin": True}], {**MASTER, "masterplugin": True}),
        # What the master does not say itself is the network's; a list has the type of its first plugin.
        ([{"type": "bridge"}], {"type": "bridge", "name": "cluster", "cniVersion": "0.4.0", "masterPlugin": True}),
        ([CHAIN], {**CHAIN, "type": "bridge", "name": "cluster", "cniVersion": "0.4.0", "masterPlugin": True}),
    ],
)
def test_which_delegate_is_the_master(delegates: list[Json], master: Json) -> None:
    assert config(delegates=delegates).master == master


REFUSED: list[tuple[int, str, str, Sequence[object]]] = [
    (4, "unknown CNI_COMMAND", "CNI_COMMAND", ["ADD ", "add", "UPDATE", "DEL\n", "\udcff"]),
    (4, "[CNI_COMMAND] missing", "CNI_COMMAND", [""]),
    (4, "CNI_CONTAINERID is unusable", "CNI_CONTAINERID", NO_IDS),
    (4, "CNI_IFNAME is unusable", "CNI_IFNAME", NO_LINKS),
    (4, "CNI_NETNS is unusable", "CNI_NETNS", ["relative/ns", "/proc/7/ns/net\n", "/x\x1b[0m"]),
    (4, "CNI_PATH is unusable", "CNI_PATH", ["/opt/cni/bin\n:/x"]),
    (4, "CNI_ARGS: invalid pair", "CNI_ARGS", [*NO_PAIRS, *(f"IgnoreUnknown=1;{pair}" for pair in NO_PAIRS)]),
    (4, "unknown args ['FOO']", "CNI_ARGS", ["FOO=1", *(f"IgnoreUnknown={no};FOO=1" for no in ("0", "false", ""))]),
    *(
        (4, f"CNI_ARGS: {key} is unusable", "CNI_ARGS", [f"IgnoreUnknown=1;{key}={value}" for value in values])
        for keys, values in {
            ("K8S_POD_NAMESPACE", "K8S_POD_NAME", "K8S_POD_NETWORK", "K8S_POD_NETWORK_NAMESPACE"): NO_NAMES,
            ("K8S_POD_IFMAC", "MAC"): NO_MACS,
        }.items()
        for key in keys
    ),
    (1, "incompatible CNI versions", "cniVersion", NO_VERSIONS),
    (7, "missing network name", "name", ["", None]),
    (7, "invalid network name", "name", ["../x", "a/b", "a b", "x\n", 5, ["x"]]),
    (7, "delegates must be a list", "delegates", [None, [], {}, 7, "bridge", [None], ["bridge"], [[]], [BRIDGE, 3]]),
    (7, "only one delegate can have", "delegates", [[MASTER, MASTER], [MASTER, {**BRIDGE, "masterplugin": True}]]),
    (7, "must have masterPlugin", "delegates", [[{"masterPlugin": mark}, BRIDGE] for mark in (None, False, "true", 1)]),
    (7, "the master delegate", "delegates", [[{"masterPlugin": True}]]),
    (7, "the master delegate", "delegates", [[{"type": kind}] for kind in ("", None, 7, "../x", "/x", "..", "x\n")]),
    (7, "kubeconfig must be an absolute path", "kubeconfig", NO_PATHS),
    (7, "cniDir must be an absolute path", "cniDir", NO_PATHS),
    (7, "globalNamespaces must be", "globalNamespaces", ["default", [1], ["a.b"], ["../x"], {"default": True}, None]),
]


@pytest.mark.parametrize(("code", "message", "key", "values"), REFUSED)
def test_a_call_is_refused(code: int, message: str, key: str, values: Sequence[object]) -> None:
    for value in values:
        if not key.startswith("CNI_"):
            assert message in refused(code, CONF | {key: value})
        else:
            for command in ("ADD", "CHECK", "DEL"):
                assert message in refused(code, environ={"CNI_COMMAND": command, key: str(value)})


def test_a_configuration_that_is_no_json_object_is_refused() -> None:
    for stdin in (b"", b"nonsense", b"[]", b"null", b'"x"', b"{", b"\xff\xfe", b'{"a": NaN}', b"[" * 100_000):
        refused(6, stdin)
    assert "16 MiB" in refused(6, b" " * (LONGEST_INPUT + 1))
