from __future__ import annotations

from typing import Any

import pytest

from podagent.cni.delegatefile import ADDING
from podagent.errors import CallRefused, PluginError
from podagent.foreign import Json
from podagent.kactus.delegates import Delegates
from podagent.kactus.lock import MARK
from podagent.kactus.state import DEFINITION, IFNAME, UID
from unit.cni.plugins import RESULT
from unit.kactus.scripted import PodNode

DATA: Json = {"cniVersion": "0.4.0", "type": "red", "name": "red-net", "networkName": "red"}
MASTER: Json = {"cniVersion": "0.4.0", "type": "master", "name": "pods", "masterPlugin": True}
FAULTY: Json = {**DATA, "type": "faulty"}
POD = "K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web;K8S_POD_INFRA_CONTAINER_ID=c1"
MAC = "02:00:00:00:00:01"


@pytest.fixture
def delegates(node: PodNode) -> Delegates:
    return Delegates(node.call("ADD", args=""))


def test_a_delegate_gets_its_configuration_without_our_own_keys(node: PodNode, delegates: Delegates) -> None:
    own = {ADDING: True, IFNAME: "net0", DEFINITION: "default/red", "prevResult": {"stale": True}}
    delegates.add({**DATA, **own}, "net0", None)
    assert node.given["red"].conf == DATA


def test_a_delegate_is_detached_and_checked_with_its_result(node: PodNode, delegates: Delegates) -> None:
    delegates.check({**DATA, "prevResult": RESULT}, "net0")
    assert (node.calls, node.given["red"].conf) == (["CHECK red net0"], {**DATA, "prevResult": RESULT})
    delegates.delete({**DATA, IFNAME: "net0", "prevResult": RESULT}, "net0", "", lambda: None)
    assert (node.calls[1:], node.given["red"].conf) == (["DEL red net0"], {**DATA, "prevResult": RESULT})
    assert node.given["red"].env["CNI_NETNS"] == ""


@pytest.mark.parametrize("previous", ["nonsense", 7, {"cniVersion": "9.9.9"}, {"ips": "x"}])
def test_a_kept_result_that_cannot_be_read_does_not_keep_a_delegate_from_going(
    node: PodNode, delegates: Delegates, previous: Any
) -> None:
    delegates.delete({**DATA, "prevResult": previous}, "net0", "", lambda: None)
    assert node.given["red"].conf == DATA


@pytest.mark.parametrize("kept", [DATA, {**DATA, "cniVersion": "0.3.1", "prevResult": {"cniVersion": "0.3.1"}}])
def test_a_delegate_without_a_result_or_a_check_is_not_checked(node: PodNode, delegates: Delegates, kept: Json) -> None:
    delegates.check(kept, "net0")
    assert node.calls == []


@pytest.mark.parametrize(
    ("kept", "name"),
    [({"masterPlugin": True}, "cluster"), ({}, "cluster"), ({"name": "", "networkName": "red"}, "red")],
)
def test_a_delegate_that_kaloom_kept_without_a_name_gets_one(
    node: PodNode, delegates: Delegates, kept: Json, name: str
) -> None:
    delegates.delete({"type": "red", **kept}, "eth0", "", lambda: None)
    assert node.given["red"].conf["name"] == name


@pytest.mark.parametrize(
    ("args", "delegate", "mac", "passed_on"),
    [
        (f"IgnoreUnknown=1;{POD};K8S_POD_IFMAC={MAC}", DATA, MAC, f"{POD};CNI_IFMAC={MAC};MAC={MAC}"),
        ("K8S_POD_NAME=x;K8S_POD_NAME=web", MASTER, None, "K8S_POD_NAME=web"),
        # The address that the runtime asks for is the default interface's, unless a network is named.
        (f"IP=10.1.0.9;MAC={MAC}", MASTER, None, f"IP=10.1.0.9;MAC={MAC}"),
        (f"IP=10.1.0.9;MAC={MAC}", DATA, None, ""),
        (f"IP=10.1.0.9;MAC={MAC};K8S_POD_NETWORK=red", DATA, None, f"IP=10.1.0.9;MAC={MAC}"),
        ("K8S_POD_NAME=web", {**DATA, UID: "8f5e"}, None, "K8S_POD_UID=8f5e;K8S_POD_NAME=web"),
        ("K8S_POD_NAME=web", {**DATA, UID: 7}, None, "K8S_POD_NAME=web"),
    ],
)  # fmt: skip
def test_the_arguments_of_a_delegate(node: PodNode, args: str, delegate: Json, mac: str | None, passed_on: str) -> None:
    Delegates(node.call("ADD", args=args)).add(delegate, "net0", mac)
    assert node.given[delegate["type"]].args == ["IgnoreUnknown=1", *filter(None, passed_on.split(";"))]


def test_the_runtimes_capability_arguments_are_for_the_default_interface_alone(node: PodNode) -> None:
    able = {"capabilities": {"portMappings": True, "mac": True}}
    asked = {"portMappings": [{"hostPort": 80}]}
    delegates = Delegates(node.call("ADD", conf=node.conf(runtimeConfig=asked)))
    delegates.add({**MASTER, **able}, "eth0", None)
    delegates.add({**DATA, **able}, "net0", MAC)
    assert node.given["master"].conf["runtimeConfig"] == asked
    assert node.given["red"].conf["runtimeConfig"] == {"mac": MAC}


def test_a_delegate_inherits_only_variables_that_are_meant_for_plugins(node: PodNode) -> None:
    environ = {"SECRET": "x", "PATH": "/bin:/usr/bin", "_CNI_LOGGING_LEVEL": "3", "LD_PRELOAD": "/x", "CNI_EXTRA": "1"}
    Delegates(node.call("ADD"), environ).add(MASTER, "eth0", None)
    env = node.given["master"].env
    assert not {"SECRET", "LD_PRELOAD"} & env.keys()
    assert (env["_CNI_LOGGING_LEVEL"], env["CNI_EXTRA"], env[MARK]) == ("3", "1", "c1")


@pytest.mark.parametrize(
    ("broken", "culprit"),
    [({"cniVersion": "9.9.9"}, "network red-net"), ({"type": "a/b"}, "delegate red"),
     ({"name": "a/b"}, "delegate red"), ({"capabilities": 7}, "delegate red")],
)  # fmt: skip
def test_a_configuration_that_no_plugin_can_be_given_is_no_fault_of_a_plugin(
    node: PodNode, delegates: Delegates, broken: Json, culprit: str
) -> None:
    with pytest.raises(CallRefused, match=f"^{culprit}") as caught:
        delegates.add({**DATA, **broken}, "net0", None)
    assert (caught.value.code, node.calls) == (7, [])


@pytest.mark.parametrize(
    ("kept", "today"),
    [(FAULTY, DATA), ({**FAULTY, ADDING: True}, {**DATA, "name": "other"}),
     ({**FAULTY, ADDING: True}, None), ({**FAULTY, ADDING: True}, {**DATA, "type": "a/b"})],
)  # fmt: skip
def test_a_delegate_that_was_attached_goes_with_its_own_definition_or_not_at_all(
    node: PodNode, delegates: Delegates, kept: Json, today: Json | None
) -> None:
    with pytest.raises(PluginError, match="faulty"):
        delegates.delete(kept, "net0", "", lambda: today)
    assert node.calls == []


def test_a_plugins_warnings_are_passed_on(
    node: PodNode, delegates: Delegates, capfd: pytest.CaptureFixture[str]
) -> None:
    node.stderr = b"beware\n"
    delegates.delete(DATA, "net0", "", lambda: None)
    assert capfd.readouterr().err == "CNI plugin red: beware\n"
