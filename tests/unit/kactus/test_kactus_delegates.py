from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from podagent.errors import CallRefused, PluginError, PluginNotRun
from podagent.foreign import Json
from podagent.kactus.call import Call
from podagent.kactus.delegates import Delegates
from podagent.kactus.failure import Failure
from podagent.kactus.lock import MARK
from podagent.kactus.state import ADDING, DEFINITION, IFNAME

RECORDER = """#!/bin/sh
here=$(dirname "$0")
env > "$here/env"
cat > "$here/stdin"
[ "$(cat "$here/stdin" | grep -c '"fails"')" = 0 ] || { echo '{"code": 104, "msg": "no"}'; exit 1; }
echo '{"cniVersion": "0.4.0", "ips": [{"version": "4", "address": "10.1.0.5/16"}]}'
"""
RED: Json = {"cniVersion": "0.4.0", "type": "noop", "name": "red-net", "networkName": "red"}
MASTER: Json = {"cniVersion": "0.4.0", "type": "noop", "name": "pods", "masterPlugin": True}
POD = (("K8S_POD_NAMESPACE", "shop"), ("K8S_POD_NAME", "web"), ("K8S_POD_INFRA_CONTAINER_ID", "c1"))
MAC = "02:00:00:00:00:01"


class Plugin:
    """The plugin `noop`, which notes what it is given."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        (directory / "noop").write_text(RECORDER)
        (directory / "noop").chmod(0o755)

    def delegates(self, *args: tuple[str, str], environ: Json | None = None, **conf: Any) -> Delegates:
        return Delegates(self.call(*args, **conf), environ or {})

    def call(self, *args: tuple[str, str], **conf: Any) -> Call:
        named = {"name": "cluster", "type": "kactus", **conf}
        return Call("ADD", "c1", "/proc/7/ns/net", "eth0", (str(self._directory),), args, "0.4.0", named)

    @property
    def env(self) -> dict[str, str]:
        pairs = (line.partition("=") for line in (self._directory / "env").read_text().splitlines())
        return {key: value for key, _, value in pairs}

    @property
    def conf(self) -> Json:
        loaded: Json = json.loads((self._directory / "stdin").read_text())
        return loaded

    @property
    def args(self) -> list[str]:
        return self.env["CNI_ARGS"].split(";")

    @property
    def ran(self) -> bool:
        return (self._directory / "env").exists()


@pytest.fixture
def plugin(tmp_path: Path) -> Plugin:
    return Plugin(tmp_path)


def nothing() -> None:
    return None


def test_a_delegate_sees_its_configuration_without_what_is_ours(plugin: Plugin) -> None:
    own = {ADDING: True, IFNAME: "net0", DEFINITION: "default/red", "prevResult": {"stale": True}}
    plugin.delegates().add({**RED, **own}, "net0", None)
    assert plugin.conf == RED


def test_a_delegate_that_goes_sees_its_result(plugin: Plugin) -> None:
    result: Json = {"cniVersion": "0.4.0", "ips": [{"version": "4", "address": "10.1.0.5/16"}]}
    plugin.delegates().delete({**RED, IFNAME: "net0", "prevResult": result}, "net0", "", nothing)
    assert plugin.conf == {**RED, "prevResult": result}
    assert (plugin.env["CNI_COMMAND"], plugin.env["CNI_NETNS"], plugin.env["CNI_IFNAME"]) == ("DEL", "", "net0")


@pytest.mark.parametrize("previous", ["nonsense", 7, {"cniVersion": "9.9.9"}, {"ips": "x"}])
def test_a_kept_result_that_cannot_be_read_does_not_keep_a_delegate_from_going(plugin: Plugin, previous: Any) -> None:
    plugin.delegates().delete({**RED, "prevResult": previous}, "net0", "", nothing)
    assert plugin.conf == RED


@pytest.mark.parametrize(
    ("kept", "name"),
    [({"type": "noop", "masterPlugin": True}, "cluster"), ({"type": "noop"}, "cluster"),
     ({"type": "noop", "name": "", "networkName": "red"}, "red")],
)  # fmt: skip
def test_what_kaloom_kept_without_a_name_gets_one(plugin: Plugin, kept: Json, name: str) -> None:
    plugin.delegates().delete(kept, "eth0", "", nothing)
    assert plugin.conf["name"] == name


def test_a_delegate_is_told_the_pod_and_its_mac_under_both_names(plugin: Plugin) -> None:
    plugin.delegates(("IgnoreUnknown", "1"), *POD, ("K8S_POD_NETWORK", "red"), ("K8S_POD_IFMAC", MAC)).add(
        RED, "n", MAC
    )
    pod = [f"{key}={value}" for key, value in POD]
    assert plugin.args == ["IgnoreUnknown=1", *pod, f"CNI_IFMAC={MAC}", f"MAC={MAC}"]


def test_an_address_asked_for_by_the_runtime_is_for_the_default_interface_alone(plugin: Plugin) -> None:
    asked = (("IP", "10.1.0.9"), ("MAC", MAC))
    plugin.delegates(*asked).add(MASTER, "eth0", None)
    assert plugin.args == ["IgnoreUnknown=1", "IP=10.1.0.9", f"MAC={MAC}"]
    plugin.delegates(*asked).add(RED, "net0", None)
    assert plugin.args == ["IgnoreUnknown=1"]
    plugin.delegates(*asked, ("K8S_POD_NETWORK", "red")).add(RED, "net0", None)
    assert plugin.args == ["IgnoreUnknown=1", "IP=10.1.0.9", f"MAC={MAC}"]


def test_an_argument_given_twice_is_passed_on_once_with_its_last_value(plugin: Plugin) -> None:
    plugin.delegates(("K8S_POD_NAME", "x"), ("K8S_POD_NAME", "web")).add(MASTER, "eth0", None)
    assert plugin.args == ["IgnoreUnknown=1", "K8S_POD_NAME=web"]


def test_what_the_runtime_configures_is_for_the_default_interface_alone(plugin: Plugin) -> None:
    able = {"capabilities": {"portMappings": True, "mac": True}}
    delegates = plugin.delegates(runtimeConfig={"portMappings": [{"hostPort": 80}]})
    delegates.add({**MASTER, **able}, "eth0", None)
    assert plugin.conf["runtimeConfig"] == {"portMappings": [{"hostPort": 80}]}
    delegates.add({**RED, **able}, "net0", MAC)
    assert plugin.conf["runtimeConfig"] == {"mac": MAC}


def test_a_delegate_inherits_nothing_but_what_is_meant_for_plugins(plugin: Plugin) -> None:
    environ = {"SECRET": "x", "PATH": "/bin:/usr/bin", "_CNI_LOGGING_LEVEL": "3", "LD_PRELOAD": "/x", "CNI_EXTRA": "1"}
    plugin.delegates(environ=environ).add(MASTER, "eth0", None)
    assert not {"SECRET", "LD_PRELOAD"} & plugin.env.keys()
    assert (plugin.env["_CNI_LOGGING_LEVEL"], plugin.env["CNI_EXTRA"], plugin.env[MARK]) == ("3", "1", "c1")


def test_a_delegate_does_not_call_kactus_for_the_same_container(plugin: Plugin) -> None:
    with pytest.raises(Failure, match="called by itself"):
        plugin.delegates(environ={MARK: "c1"})
    assert plugin.delegates(environ={MARK: "another"})


def test_a_plugin_that_is_missing_is_told_apart_from_one_that_failed(plugin: Plugin) -> None:
    with pytest.raises(PluginNotRun, match="no-such") as caught:
        plugin.delegates().add({**RED, "type": "no-such"}, "net0", None)
    assert caught.value.plugin == "no-such"


@pytest.mark.parametrize(
    ("broken", "culprit"),
    [({"cniVersion": "9.9.9"}, "network red-net"), ({"type": "a/b"}, "delegate red"),
     ({"name": "a/b"}, "delegate red"), ({"capabilities": 7}, "delegate red")],
)  # fmt: skip
def test_a_configuration_that_no_plugin_can_be_given_is_no_fault_of_a_plugin(
    plugin: Plugin, broken: Json, culprit: str
) -> None:
    with pytest.raises(CallRefused) as caught:
        plugin.delegates().add({**RED, **broken}, "net0", None)
    assert caught.value.message.startswith(culprit)
    assert caught.value.code == 7
    assert not plugin.ran


def test_what_failed_keeps_its_code(plugin: Plugin) -> None:
    with pytest.raises(PluginError) as caught:
        plugin.delegates().add({**RED, "fails": True}, "net0", None)
    assert not isinstance(caught.value, PluginNotRun)
    assert (caught.value.code, caught.value.message) == (104, "no")


def test_what_was_never_attached_goes_with_a_corrected_definition(plugin: Plugin) -> None:
    plugin.delegates().delete({**RED, ADDING: True, "fails": True}, "net0", "", lambda: RED)
    assert plugin.conf == RED


@pytest.mark.parametrize(
    ("kept", "today"),
    [({**RED, "fails": True}, RED), ({**RED, ADDING: True, "fails": True}, {**RED, "name": "other"}),
     ({**RED, ADDING: True, "fails": True}, None), ({**RED, ADDING: True, "fails": True}, {**RED, "type": "a/b"})],
)  # fmt: skip
def test_what_was_attached_goes_with_its_own_definition_or_not_at_all(
    plugin: Plugin, kept: Json, today: Json | None
) -> None:
    with pytest.raises(PluginError, match="no"):
        plugin.delegates().delete(kept, "net0", "", lambda: today)


def check(plugin: Plugin, delegate: Json) -> None:
    plugin.delegates().check(delegate, "net0")


def test_a_check_gives_the_plugin_its_result(plugin: Plugin) -> None:
    result: Json = {"cniVersion": "0.4.0", "ips": [{"version": "4", "address": "10.1.0.5/16"}]}
    check(plugin, {**RED, "prevResult": result})
    assert (plugin.env["CNI_COMMAND"], plugin.conf) == ("CHECK", {**RED, "prevResult": result})


@pytest.mark.parametrize("kept", [RED, {**RED, "cniVersion": "0.3.1", "prevResult": {"cniVersion": "0.3.1"}}])
def test_what_has_no_result_or_no_check_is_taken_as_it_is(plugin: Plugin, kept: Json) -> None:
    check(plugin, kept)
    assert not plugin.ran


def test_what_a_plugin_says_beside_its_result_is_passed_on(
    plugin: Plugin, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "noop").write_text("#!/bin/sh\ncat > /dev/null; echo beware >&2\n")
    plugin.delegates().delete(RED, "net0", "", nothing)
    assert capfd.readouterr().err == "CNI plugin noop: beware\n"
