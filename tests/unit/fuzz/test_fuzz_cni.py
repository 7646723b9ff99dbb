"""What plugins print and administrators configure is a checked value or an error of its reader, whatever it is."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import strategies as st

from podagent import versions
from podagent.cni.conf import load_file
from podagent.cni.reply import Ended, add_result, require_success
from podagent.cni.result import checked, convert
from podagent.errors import NetConfError, PluginError
from podagent.foreign import Json
from podagent.kactus.call import Call, read_call
from podagent.kactus.config import read_config
from podagent.kactus.failure import Failure
from podagent.model import result_addresses
from podagent.netconf import NetConf
from podagent.validate import is_cni_name, is_interface_name
from unit.fuzz.hostile import assert_plain, bounded, fuzzed, hostile
from unit.fuzz.test_fuzz_tenants import CHAIN, CONFLIST, PLUGIN

FIRST = {
    "cniVersion": "0.2.0",
    "ip4": {"ip": "10.1.0.5/16", "gateway": "10.1.0.1", "routes": [{"dst": "0.0.0.0/0", "gw": "10.1.0.1"}]},
    "ip6": {"ip": "2001:db8::5/64", "routes": [{"dst": "::/0"}]},
    "dns": {"nameservers": ["10.1.0.1"]},
}
NEWEST = {
    "cniVersion": "1.0.0",
    "interfaces": [{"name": "br0"}, {"name": "eth1", "mac": "02:00:00:00:00:01", "sandbox": "/ns", "mtu": 1500}],
    "ips": [{"interface": 1, "address": "10.1.0.5/16", "gateway": "10.1.0.1"}, {"address": "2001:db8::5/64"}],
    "routes": [{"dst": "0.0.0.0/0", "gw": "10.1.0.1"}],
    "dns": {},
}
ERROR = {"cniVersion": "1.0.0", "code": 11, "msg": "try again later", "details": "the store is busy"}
KACTUS = {
    "cniVersion": "0.4.0", "name": "cluster", "type": "kactus", "kubeconfig": "/k", "cniDir": "/c", "allowMac": "any",
    "globalNamespaces": ["default"], "trustedNamespaces": ["infra"], "definitionPolicy": "restrict",
    "allowedPlugins": ["bridge"], "allowedOptions": ["isGateway"], "allowedLinks": ["eth*"],
    "delegates": [{**PLUGIN, "masterPlugin": True}, {"type": "flannel", "delegate": CHAIN[0]}],
}  # fmt: skip
ENVIRON = {
    "CNI_COMMAND": "ADD", "CNI_CONTAINERID": "c1", "CNI_NETNS": "/proc/7/ns/net", "CNI_IFNAME": "eth0",
    "CNI_PATH": "/opt/cni/bin:/usr/lib/cni",
    "CNI_ARGS": "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web;K8S_POD_IFMAC=02:00:00:00:00:01",
}  # fmt: skip


@fuzzed(hostile(FIRST, NEWEST, {**NEWEST, "cniVersion": "0.4.0"}))
def test_a_result_has_addresses_in_every_version_or_names_the_plugin_that_printed_it(stdout: bytes) -> None:
    try:
        with bounded():
            result = add_result("bridge", stdout, "1.0.0")
    except PluginError as error:
        assert_plain(error, "bridge")
        return
    assert result["cniVersion"] in versions.KNOWN
    # Keys that only other versions have are not validated, but shown.
    assert {*"".join(result_addresses(result))} <= {*"0123456789abcdefABCDEF:./"}
    for version in versions.KNOWN:
        assert_convertible(result, version)


def assert_convertible(result: Json, version: str) -> None:
    try:
        other = convert(result, version, "bridge")
    except PluginError as error:
        assert_plain(error, f"bridge: a result without addresses cannot be a {version} result", codes=(6,))
    else:
        assert checked(other, version, "bridge") == other


@fuzzed(hostile(ERROR), st.binary(max_size=2000), st.sampled_from([1, 255, -9, -200]))
def test_a_failure_of_a_plugin_is_told_in_plain_words(stdout: bytes, stderr: bytes, code: int) -> None:
    with pytest.raises(PluginError) as caught, bounded():
        require_success("bridge", Ended(code, stdout, stderr))
    assert_plain(caught.value, "bridge")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("net.d")


@fuzzed(hostile(PLUGIN, CONFLIST))
def test_a_configuration_of_the_node_may_be_run_or_its_file_is_named(folder: Path, content: bytes) -> None:
    for file in (folder / "10-pods.conf", folder / "10-pods.conflist"):
        file.write_bytes(content)
        try:
            with bounded():
                assert_runnable(load_file(file))
        except NetConfError as error:
            assert_plain(error, str(file))


def assert_runnable(netconf: NetConf) -> None:
    assert is_cni_name(netconf.name)
    assert netconf.version == "" or versions.parse(netconf.version)
    assert netconf.plugins
    for plugin in netconf.plugins:
        for name in filter(None, (plugin["type"], (plugin.get("ipam") or {}).get("type"))):
            assert name.isprintable()
            assert not name.startswith("..")
            assert "/" not in name


@fuzzed(hostile(KACTUS))
def test_kactus_has_a_configuration_of_checked_values_or_refuses_the_call(stdin: bytes) -> None:
    try:
        with bounded():
            config = read_config(read_call(ENVIRON, stdin).conf)
    except Failure as failure:
        assert_plain(failure, codes=(1, 6, 7))
    else:
        assert all(path.startswith("/") or not path for path in (config.kubeconfig, config.cni_dir))
        assert isinstance(config.master["type"], str)
        assert "/" not in config.master["type"]


@fuzzed(st.sampled_from(sorted(ENVIRON)), hostile(*(value.encode() for value in ENVIRON.values())))
def test_kactus_takes_checked_variables_only(name: str, value: bytes) -> None:
    environ = {**ENVIRON, name: value.decode(errors="surrogateescape")}
    try:
        with bounded():
            call = read_call(environ, b'{"name": "cluster"}')
    except Failure as failure:
        assert_plain(failure, codes=(4,))
    else:
        assert_checked(call)


def assert_checked(call: Call) -> None:
    assert not call.container_id or is_cni_name(call.container_id)
    assert not call.ifname or is_interface_name(call.ifname)
    assert all(";" not in text and "=" not in text and text.isprintable() for pair in call.args for text in pair)
