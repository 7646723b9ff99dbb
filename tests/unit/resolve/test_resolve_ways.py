"""The two ways to attach, and which of them is taken: exactly what a plugin would be called with."""

from __future__ import annotations

from typing import Any

import pytest

from podagent.errors import ApiError, DefinitionError, NetConfError, PodNotReady
from podagent.foreign import Json
from podagent.model import DefinitionRef, Invocation, Phase, PodKey, Record, Via
from podagent.netconf import NetConf
from podagent.resolve.args import pod_args
from podagent.resolve.delegate import DelegateNetworks
from podagent.resolve.lookup import find
from podagent.resolve.networks import ChosenNetworks
from podagent.resolve.system import SystemNetworks
from unit.factory import attachment, pod, record, sandbox

POD = pod()._replace(key=PodKey("shop", "web", "uid"))
SANDBOX = sandbox()
RED = attachment("red")
IN_INFRA = attachment("red", namespace="infra")
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
    """Network definitions by namespace and name, and which were read."""

    def __init__(self, *there: str) -> None:
        self.there = set(there)
        self.asked: list[str] = []

    def read(self, wanted: DefinitionRef) -> Json | None:
        self.asked.append(str(wanted))
        if str(wanted) not in self.there:
            return None
        return {"spec": {"plugin": "bridge", "config": f'{{"bridge": "{wanted.namespace}"}}'}}


def delegate(*there: str, global_namespaces: tuple[str, ...] = ("default",)) -> DelegateNetworks:
    return DelegateNetworks(Definitions(*there).read, "/opt/cni/bin", global_namespaces)


def red(namespace: str) -> DefinitionRef:
    return RED.definition._replace(namespace=namespace)


def test_a_delegate_is_called_with_the_definitions_configuration() -> None:
    call = delegate("shop/red").call(POD, RED, SANDBOX)
    assert call.netconf.plugins == [{"bridge": "shop", "type": "bridge", "name": "red"}]
    assert (call.path, call.args, call.definition) == (("/opt/cni/bin",), POD_ARGS, red("shop"))
    assert call.capability_args == {}


def test_a_requested_mac_reaches_every_kind_of_plugin() -> None:
    call = delegate("shop/red").call(POD, attachment("red", mac="02:00:00:00:00:01"), SANDBOX)
    assert call.args == (*POD_ARGS, ("CNI_IFMAC", "02:00:00:00:00:01"), ("MAC", "02:00:00:00:00:01"))
    assert call.capability_args == {"mac": "02:00:00:00:00:01"}


def test_what_an_entry_asks_for_is_passed_on_whatever_it_is() -> None:
    asked = RED._replace(args=(("RATE", "10"),), capabilities={"ips": ["10.0.0.9/24"]})
    call = delegate("shop/red").call(POD, asked, SANDBOX)
    assert (call.args, call.capability_args) == ((*POD_ARGS, ("RATE", "10")), {"ips": ["10.0.0.9/24"]})


def test_the_pods_own_namespace_comes_before_default() -> None:
    assert delegate("shop/red", "default/red").call(POD, RED, SANDBOX).definition == red("shop")
    assert delegate("default/red").call(POD, RED, SANDBOX).definition == red("default")


def test_default_is_asked_only_where_it_is_for_all() -> None:
    with pytest.raises(DefinitionError, match=r"red is not defined.*namespace shop$"):
        delegate("default/red", global_namespaces=("infra",)).call(POD, RED, SANDBOX)


def test_a_namespace_in_the_entry_is_the_only_one_asked() -> None:
    definitions = Definitions("shop/red")
    with pytest.raises(DefinitionError, match="infra"):
        DelegateNetworks(definitions.read, "/bin", ("default",)).call(POD, IN_INFRA, SANDBOX)
    assert definitions.asked == ["infra/red"]


def test_a_missing_definition_is_named_with_where_it_was_looked_for() -> None:
    with pytest.raises(DefinitionError, match=r"network red is not defined: .* namespace shop or default"):
        delegate().call(POD, RED, SANDBOX)


def test_an_api_server_that_is_away_is_no_missing_definition() -> None:
    with pytest.raises(ApiError):
        DelegateNetworks(away, "/bin", ()).call(POD, RED, SANDBOX)


def away(wanted: DefinitionRef) -> Json | None:
    raise ApiError("away")


def test_a_pod_whose_namespace_is_not_known_has_the_definitions_that_are_for_all() -> None:
    assert find(RED.definition, "", ("default",), Definitions("default/red").read)[0] == red("default")
    with pytest.raises(DefinitionError, match="in any namespace: the pod's is not known"):
        find(RED.definition, "", (), Definitions("default/red").read)


# -- system ---------------------------------------------------------------------------------------------------------


def system(plugin: str = "kactus", vendor: str = "") -> SystemNetworks:
    return SystemNetworks(lambda: node_conf(plugin), "/opt/cni/bin", vendor)


def node_conf(plugin: str, name: str = "node") -> NetConf:
    return NetConf({"cniVersion": "0.4.0", "name": name, "plugins": [{"type": plugin}]})


def no_conf() -> NetConf:
    raise NetConfError("no valid CNI network configuration")


def test_the_system_plugin_is_told_the_attachment_in_its_arguments() -> None:
    call = system().call(POD, attachment("red", mac="02:00:00:00:00:01"), SANDBOX)
    assert call.args == (*POD_ARGS, ("K8S_POD_NETWORK", "red"), ("K8S_POD_IFMAC", "02:00:00:00:00:01"))
    assert call.netconf == node_conf("kactus")


def test_without_a_requested_mac_the_argument_is_there_and_empty() -> None:
    assert system().call(POD, RED, SANDBOX).args[-1] == ("K8S_POD_IFMAC", "")


def test_the_namespace_of_the_entry_is_told_only_if_it_names_one() -> None:
    assert system().call(POD, IN_INFRA, SANDBOX).args[-1] == ("K8S_POD_NETWORK_NAMESPACE", "infra")


@pytest.mark.parametrize(("vendor", "first"), [("", "/opt/kactus/bin"), ("acme", "/opt/acme/cni/bin")])
def test_the_vendors_directory_is_looked_into_first(vendor: str, first: str) -> None:
    assert system(vendor=vendor).call(POD, RED, SANDBOX).path == (first, "/opt/cni/bin")


@pytest.mark.parametrize(
    ("changes", "populated"), [({"phase": "Pending"}, True), ({"phase": ""}, True), ({"phase": "Running"}, False)]
)
def test_the_agent_keeps_off_while_the_kubelet_sets_the_pod_up(changes: dict[str, str], populated: bool) -> None:
    with pytest.raises(PodNotReady, match="shop/web"):
        system().call(POD._replace(**changes), RED, sandbox(populated=populated))


def test_a_node_without_configuration_says_so() -> None:
    with pytest.raises(NetConfError):
        SystemNetworks(no_conf, "/opt/cni/bin", "").call(POD, RED, SANDBOX)


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
    chosen = ChosenNetworks(attach_via, system(plugin), delegate("shop/red"))
    assert chosen.via() is via
    assert chosen.resolve(POD, RED, SANDBOX)[0] is via


def test_auto_needs_no_system_plugin() -> None:
    chosen = ChosenNetworks("auto", SystemNetworks(no_conf, "/bin", ""), delegate("shop/red"))
    assert chosen.resolve(POD, RED, SANDBOX)[0] is Via.DELEGATE


def test_auto_follows_the_nodes_configuration_as_it_changes() -> None:
    types = ["kactus", "bridge"]
    chosen = ChosenNetworks("auto", SystemNetworks(lambda: node_conf(types.pop()), "/bin", ""), delegate())
    assert [chosen.via(), chosen.via()] == [Via.DELEGATE, Via.SYSTEM]


# -- what DEL may be tried with after it failed ---------------------------------------------------------------------


def half_attached(via: Via, call: Invocation) -> Record:
    return record("red", phase=Phase.DETACHING, via=via, invocation=call, result=None)


def networks(current: SystemNetworks | None = None, definitions: DelegateNetworks | None = None) -> ChosenNetworks:
    return ChosenNetworks("auto", current or system(), definitions or delegate("shop/red"))


def recorded(netconf: NetConf) -> Invocation:
    return Invocation(netconf, ("/recorded",), POD_ARGS, {"mac": "m"}, red("shop"))


def test_a_definition_that_was_corrected_is_tried_with_all_else_as_recorded() -> None:
    faulty = recorded(node_conf("faulty", "red"))
    corrected = networks().corrected(half_attached(Via.DELEGATE, faulty))
    assert corrected == faulty._replace(netconf=delegate("shop/red").call(POD, RED, SANDBOX).netconf)


def test_a_configuration_of_the_node_that_was_corrected_is_tried() -> None:
    faulty = recorded(node_conf("faulty"))
    assert networks().corrected(half_attached(Via.SYSTEM, faulty)) == faulty._replace(netconf=node_conf("kactus"))


@pytest.mark.parametrize("attached", [{"result": {}}, {"adopted": True}])
def test_what_was_attached_is_detached_with_what_it_was_attached_with(attached: dict[str, Any]) -> None:
    made = half_attached(Via.SYSTEM, recorded(node_conf("faulty")))._replace(**attached)
    assert networks().corrected(made) is None


def test_another_network_cleans_up_nothing() -> None:
    assert networks().corrected(half_attached(Via.SYSTEM, recorded(node_conf("faulty", "other")))) is None


def test_the_same_configuration_is_not_tried_twice() -> None:
    assert networks().corrected(half_attached(Via.SYSTEM, recorded(node_conf("kactus")))) is None


@pytest.mark.parametrize(
    ("via", "changes"),
    [
        (Via.SYSTEM, {"current": SystemNetworks(no_conf, "/bin", "")}),
        (Via.DELEGATE, {"definitions": delegate()}),
        (Via.DELEGATE, {"definitions": DelegateNetworks(away, "/bin", ())}),
    ],
)
def test_without_a_configuration_today_there_is_nothing_else_to_try(via: Via, changes: dict[str, Any]) -> None:
    assert networks(**changes).corrected(half_attached(via, recorded(node_conf("faulty", "red")))) is None


def test_a_record_that_names_no_definition_cannot_be_corrected() -> None:
    nameless = recorded(node_conf("faulty", "red"))._replace(definition=None)
    assert networks().corrected(half_attached(Via.DELEGATE, nameless)) is None
