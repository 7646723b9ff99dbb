"""The two ways to attach, and which of them is taken: exactly what a plugin would be called with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from factory import attachment, pod, sandbox

from podagent.errors import ApiError, DefinitionError, NetConfError, PodNotReady
from podagent.model import Json, PodKey, Via
from podagent.resolve.args import pod_args
from podagent.resolve.choose import ChosenNetworks
from podagent.resolve.delegate import DelegateNetworks
from podagent.resolve.system import SystemNetworks

POD = pod()._replace(key=PodKey("shop", "web", "uid"))
SANDBOX = sandbox()
RED = attachment("red")
POD_ARGS = (
    ("IgnoreUnknown", "1"),
    ("K8S_POD_NAMESPACE", "shop"),
    ("K8S_POD_NAME", "web"),
    ("K8S_POD_INFRA_CONTAINER_ID", SANDBOX.id),
)


def test_the_arguments_of_every_call_are_those_of_the_kubelet() -> None:
    assert pod_args(POD, SANDBOX) == POD_ARGS


# -- delegate -------------------------------------------------------------------------------------------------------


class Definitions:
    """Network definitions by (namespace, name), and what was asked for."""

    def __init__(self, *there: tuple[str, str]) -> None:
        self.there = set(there)
        self.asked: list[tuple[str, str]] = []

    def kaloom(self, namespace: str, name: str) -> Json | None:
        self.asked.append((namespace, name))
        if (namespace, name) not in self.there:
            return None
        return {"spec": {"plugin": "bridge", "config": f'{{"bridge": "{namespace}"}}'}}


def delegate(*there: tuple[str, str], global_namespaces: tuple[str, ...] = ("default",)) -> DelegateNetworks:
    return DelegateNetworks(Definitions(*there), "/opt/cni/bin", global_namespaces)


def test_a_delegate_is_called_with_the_definitions_configuration() -> None:
    via, call = delegate(("shop", "red")).prepare(POD, RED, SANDBOX)
    assert via is Via.DELEGATE
    assert call.netconf["plugins"] == [{"bridge": "shop", "type": "bridge", "name": "red"}]
    assert (call.path, call.args, call.definition) == (("/opt/cni/bin",), POD_ARGS, "shop/red")
    assert call.capability_args == {}


def test_a_requested_mac_reaches_every_kind_of_plugin() -> None:
    _, call = delegate(("shop", "red")).prepare(POD, RED._replace(mac="02:00:00:00:00:01"), SANDBOX)
    assert call.args == (*POD_ARGS, ("CNI_IFMAC", "02:00:00:00:00:01"), ("MAC", "02:00:00:00:00:01"))
    assert call.capability_args == {"mac": "02:00:00:00:00:01"}


def test_requested_addresses_are_offered_as_capability() -> None:
    _, call = delegate(("shop", "red")).prepare(POD, RED._replace(ips=("10.0.0.9/24",)), SANDBOX)
    assert call.capability_args == {"ips": ["10.0.0.9/24"]}


def test_the_pods_own_namespace_comes_before_default() -> None:
    _, call = delegate(("shop", "red"), ("default", "red")).prepare(POD, RED, SANDBOX)
    assert call.definition == "shop/red"
    _, call = delegate(("default", "red")).prepare(POD, RED, SANDBOX)
    assert call.definition == "default/red"


def test_default_is_asked_only_where_it_is_for_all() -> None:
    with pytest.raises(DefinitionError, match=r"red is not defined.*namespace shop$"):
        delegate(("default", "red"), global_namespaces=("infra",)).prepare(POD, RED, SANDBOX)


def test_a_namespace_in_the_entry_is_the_only_one_asked() -> None:
    definitions = Definitions(("shop", "red"))
    with pytest.raises(DefinitionError, match="infra"):
        DelegateNetworks(definitions, "/bin", ("default",)).prepare(POD, RED._replace(namespace="infra"), SANDBOX)
    assert definitions.asked == [("infra", "red")]


def test_a_missing_definition_is_named_with_where_it_was_looked_for() -> None:
    with pytest.raises(DefinitionError, match=r"network red is not defined: .* namespace shop or default"):
        delegate().prepare(POD, RED, SANDBOX)


def test_an_api_server_that_is_away_is_no_missing_definition() -> None:
    class Away:
        def kaloom(self, namespace: str, name: str) -> Json | None:
            raise ApiError("away")

    with pytest.raises(ApiError):
        DelegateNetworks(Away(), "/bin", ()).prepare(POD, RED, SANDBOX)


# -- system ---------------------------------------------------------------------------------------------------------


def system(plugin: str = "kactus", vendor: str = "") -> SystemNetworks:
    netconf = {"cniVersion": "0.4.0", "name": "node", "plugins": [{"type": plugin}]}
    return SystemNetworks(lambda: (Path("/etc/cni/net.d/10.conf"), netconf), "/opt/cni/bin", vendor)


def no_conf() -> tuple[Path, Json]:
    raise NetConfError("no valid CNI network configuration")


def test_the_system_plugin_is_told_the_attachment_in_its_arguments() -> None:
    via, call = system().prepare(POD, RED._replace(mac="02:00:00:00:00:01"), SANDBOX)
    assert via is Via.SYSTEM
    assert call.args == (*POD_ARGS, ("K8S_POD_NETWORK", "red"), ("K8S_POD_IFMAC", "02:00:00:00:00:01"))
    assert call.netconf["plugins"] == [{"type": "kactus"}]


def test_without_a_requested_mac_the_argument_is_there_and_empty() -> None:
    _, call = system().prepare(POD, RED, SANDBOX)
    assert call.args[-1] == ("K8S_POD_IFMAC", "")


def test_the_namespace_of_the_entry_is_told_only_if_it_names_one() -> None:
    _, call = system().prepare(POD, RED._replace(namespace="infra"), SANDBOX)
    assert call.args[-1] == ("K8S_POD_NETWORK_NAMESPACE", "infra")


@pytest.mark.parametrize(("vendor", "first"), [("", "/opt/kactus/bin"), ("acme", "/opt/acme/cni/bin")])
def test_the_vendors_directory_is_looked_into_first(vendor: str, first: str) -> None:
    _, call = system(vendor=vendor).prepare(POD, RED, SANDBOX)
    assert call.path == (first, "/opt/cni/bin")


@pytest.mark.parametrize(
    ("changes", "populated"), [({"phase": "Pending"}, True), ({"phase": ""}, True), ({"phase": "Running"}, False)]
)
def test_the_agent_keeps_off_while_the_kubelet_sets_the_pod_up(changes: dict[str, str], populated: bool) -> None:
    with pytest.raises(PodNotReady, match="shop/web"):
        system().prepare(POD._replace(**changes), RED, sandbox(populated=populated))


def test_a_node_without_configuration_says_so() -> None:
    with pytest.raises(NetConfError):
        SystemNetworks(no_conf, "/opt/cni/bin", "").prepare(POD, RED, SANDBOX)


# -- which of them --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attach_via", "plugin", "via"),
    [
        ("auto", "kactus", Via.SYSTEM),
        ("auto", "bridge", Via.DELEGATE),
        ("auto", "calico", Via.DELEGATE),
        ("system", "bridge", Via.SYSTEM),
        ("delegate", "kactus", Via.DELEGATE),
    ],
)
def test_the_way_that_is_taken(attach_via: str, plugin: str, via: Via) -> None:
    chosen = ChosenNetworks(attach_via, system(plugin), delegate(("shop", "red")))
    assert chosen.via() is via
    assert chosen.prepare(POD, RED, SANDBOX)[0] is via


def test_auto_needs_no_system_plugin() -> None:
    chosen = ChosenNetworks("auto", SystemNetworks(no_conf, "/bin", ""), delegate(("shop", "red")))
    assert chosen.prepare(POD, RED, SANDBOX)[0] is Via.DELEGATE


def test_auto_follows_the_nodes_configuration_as_it_changes() -> None:
    plugin: dict[str, Any] = {"type": "bridge"}
    current = SystemNetworks(lambda: (Path("x"), {"plugins": [plugin]}), "/bin", "")
    chosen = ChosenNetworks("auto", current, delegate())
    assert chosen.via() is Via.DELEGATE
    plugin["type"] = "kactus"
    assert chosen.via() is Via.SYSTEM
