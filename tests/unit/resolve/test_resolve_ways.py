"""The two ways to attach, and which of them is taken: exactly what a plugin would be called with."""

from __future__ import annotations

from typing import Any

import pytest

from podagent.errors import ApiError, DefinitionError, NetConfError, NoNetConf, PodNotReady
from podagent.foreign import Json
from podagent.model import Attachment, DefinitionRef, Invocation, Phase, PodKey, Record, Via
from podagent.netconf import NetConf
from podagent.resolve.delegate import DelegateNetworks
from podagent.resolve.lookup import find
from podagent.resolve.networks import ChosenNetworks
from podagent.resolve.system import SystemNetworks
from unit.factory import ANY_MAC, TRUST_ALL, attachment, pod, record, sandbox

POD = pod()._replace(key=PodKey("shop", "web", "uid"))
SANDBOX = sandbox()
BIN_DIRS = ("/opt/cni/bin", "/usr/lib/cni")
RED = attachment("red")
MAC = "02:00:00:00:00:01"
RED_WITH_MAC = attachment("red", mac=MAC)
IN_INFRA = attachment("red", namespace="infra")
POD_ARGS = (
    ("IgnoreUnknown", "1"),
    ("K8S_POD_NAMESPACE", "shop"),
    ("K8S_POD_NAME", "web"),
    ("K8S_POD_INFRA_CONTAINER_ID", SANDBOX.id),
)


class Definitions:
    """Network definitions by namespace and name, and which were read."""

    def __init__(self, *there: str) -> None:
        self.there = set(there)
        self.asked: list[str] = []

    def read(self, wanted: DefinitionRef, since: float = 0.0) -> Json | None:
        self.asked.append(str(wanted))
        self.since = since
        if str(wanted) not in self.there:
            return None
        return {"spec": {"plugin": "bridge", "config": f'{{"bridge": "{wanted.namespace}"}}'}}


def away(wanted: DefinitionRef, since: float) -> Json | None:
    raise ApiError("away")


def red(namespace: str) -> DefinitionRef:
    return RED.definition._replace(namespace=namespace)


def delegate(*there: str) -> DelegateNetworks:
    return DelegateNetworks(Definitions(*there).read, BIN_DIRS, ("default",), TRUST_ALL, ANY_MAC)


def node_conf(plugin: str = "kactus", name: str = "node") -> NetConf:
    return NetConf({"cniVersion": "0.4.0", "name": name, "plugins": [{"type": plugin}]})


def no_conf() -> NetConf:
    raise NoNetConf("no valid CNI network configuration")


def half_written() -> NetConf:
    raise NetConfError("05-kactus.conf: not JSON")


def system(plugin: str = "kactus", vendor: str = "") -> SystemNetworks:
    return SystemNetworks(lambda: node_conf(plugin), BIN_DIRS, vendor)


NO_SYSTEM = SystemNetworks(no_conf, BIN_DIRS, "")


@pytest.mark.parametrize(
    ("asked", "args", "capabilities"),
    [
        (RED, (), {}),
        (RED_WITH_MAC, (("CNI_IFMAC", MAC), ("MAC", MAC)), {"mac": MAC}),  # every kind of plugin finds it somewhere
        (RED._replace(args=(("RATE", "10"),), capabilities={"ips": ["10.0.0.9/24"]}), (("RATE", "10"),),
         {"ips": ["10.0.0.9/24"]}),
    ],
)  # fmt: skip
def test_a_delegate_is_called_with_the_definitions_configuration_and_the_arguments_of_the_entry(
    asked: Attachment, args: tuple[tuple[str, str], ...], capabilities: Json
) -> None:
    call = delegate("shop/red").call(POD, asked, SANDBOX)
    assert call.netconf.plugins == [{"bridge": "shop", "type": "bridge", "name": "red"}]
    assert call == Invocation(call.netconf, BIN_DIRS, (*POD_ARGS, *args), capabilities, red("shop"))


@pytest.mark.parametrize(
    ("there", "wanted", "namespace", "global_namespaces", "asked"),
    [
        (["shop/red", "default/red"], RED, "shop", ("default",), ["shop/red"]),
        (["default/red"], RED, "shop", ("default",), ["shop/red", "default/red"]),
        (["infra/red"], IN_INFRA, "shop", (), ["infra/red"]),
        (["default/red"], RED, "", ("default",), ["default/red"]),
    ],
)
def test_the_definition_is_the_first_of_the_namespaces_that_may_be_asked(
    there: list[str], wanted: Attachment, namespace: str, global_namespaces: tuple[str, ...], asked: list[str]
) -> None:
    definitions = Definitions(*there)
    reference, _ = find(wanted.definition, namespace, global_namespaces, definitions.read)
    assert (str(reference), definitions.asked) == (asked[-1], asked)


@pytest.mark.parametrize(
    ("wanted", "namespace", "global_namespaces", "places"),
    [
        (RED, "shop", ("default",), "namespace shop or default"),
        (RED, "shop", ("infra",), "namespace shop"),
        (IN_INFRA, "shop", ("default",), "namespace infra"),
        (RED, "", (), "any namespace: the pod's is not known"),
    ],
)
def test_a_missing_definition_is_named_with_the_places_that_were_asked(
    wanted: Attachment, namespace: str, global_namespaces: tuple[str, ...], places: str
) -> None:
    with pytest.raises(DefinitionError, match=rf"network red is not defined: .* in {places}$"):
        find(wanted.definition, namespace, global_namespaces, Definitions("other/red").read)


def test_the_definition_is_no_older_than_the_pods_request() -> None:
    definitions = Definitions("shop/red")
    DelegateNetworks(definitions.read, BIN_DIRS, (), TRUST_ALL, ANY_MAC).call(POD._replace(asked_at=7.0), RED, SANDBOX)
    assert definitions.since == 7.0


def test_an_api_server_that_is_away_is_no_missing_definition() -> None:
    with pytest.raises(ApiError):
        DelegateNetworks(away, BIN_DIRS, (), TRUST_ALL, ANY_MAC).call(POD, RED, SANDBOX)


@pytest.mark.parametrize(
    ("asked", "args"),
    [
        (RED, (("K8S_POD_NETWORK", "red"), ("K8S_POD_IFMAC", ""))),
        (RED_WITH_MAC, (("K8S_POD_NETWORK", "red"), ("K8S_POD_IFMAC", MAC))),
        (IN_INFRA, (("K8S_POD_NETWORK", "red"), ("K8S_POD_IFMAC", ""), ("K8S_POD_NETWORK_NAMESPACE", "infra"))),
    ],
)
def test_the_system_plugin_gets_the_attachment_in_its_arguments(
    asked: Attachment, args: tuple[tuple[str, str], ...]
) -> None:
    call = system().call(POD, asked, SANDBOX)
    assert (call.netconf, call.args) == (node_conf(), (*POD_ARGS, *args))


@pytest.mark.parametrize(("vendor", "first"), [("", "/opt/kactus/bin"), ("acme", "/opt/acme/cni/bin")])
def test_the_vendors_directory_is_looked_into_first(vendor: str, first: str) -> None:
    assert system(vendor=vendor).call(POD, RED, SANDBOX).path == (first, *BIN_DIRS)


@pytest.mark.parametrize(("phase", "populated"), [("Pending", True), ("", True), ("Running", False)])
def test_the_agent_keeps_off_while_the_kubelet_sets_the_pod_up(phase: str, populated: bool) -> None:
    with pytest.raises(PodNotReady, match="shop/web"):
        system().call(POD._replace(phase=phase), RED, sandbox(populated=populated))


def test_a_node_without_configuration_cannot_attach() -> None:
    with pytest.raises(NetConfError):
        NO_SYSTEM.call(POD, RED, SANDBOX)


@pytest.mark.parametrize(
    ("attach_via", "system_networks", "via"),
    [
        ("auto", system("kactus"), Via.SYSTEM),
        ("auto", system("bridge"), Via.DELEGATE),
        ("auto", NO_SYSTEM, Via.DELEGATE),
        ("system", system("bridge"), Via.SYSTEM),
        ("delegate", system("kactus"), Via.DELEGATE),
    ],
)
def test_the_way_that_is_taken(attach_via: str, system_networks: SystemNetworks, via: Via) -> None:
    chosen = ChosenNetworks(attach_via, system_networks, delegate("shop/red"))
    assert chosen.via() is via
    assert chosen.resolve(POD, RED, SANDBOX)[0] is via


def test_auto_waits_while_the_nodes_configuration_is_faulty() -> None:
    chosen = ChosenNetworks("auto", SystemNetworks(half_written, BIN_DIRS, ""), delegate())
    with pytest.raises(NetConfError, match="05-kactus"):
        chosen.resolve(POD, RED, SANDBOX)


def test_auto_follows_the_nodes_configuration_as_it_changes() -> None:
    types = ["kactus", "bridge"]
    chosen = ChosenNetworks("auto", SystemNetworks(lambda: node_conf(types.pop()), BIN_DIRS, ""), delegate())
    assert [chosen.via(), chosen.via()] == [Via.DELEGATE, Via.SYSTEM]


def networks(current: SystemNetworks | None = None, definitions: DelegateNetworks | None = None) -> ChosenNetworks:
    return ChosenNetworks("auto", current or system(), definitions or delegate("shop/red"))


def half_attached(via: Via, plugin: str = "faulty", name: str = "", **changes: Any) -> Record:
    """A record of a system plugin or a delegate whose ADD failed."""
    netconf = node_conf(plugin, name or {Via.SYSTEM: "node", Via.DELEGATE: "red"}[via])
    call = Invocation(netconf, ("/recorded",), POD_ARGS, {"mac": "m"}, changes.pop("definition", red("shop")))
    return record("red", phase=Phase.DETACHING, via=via, invocation=call, **{"result": None, **changes})


@pytest.mark.parametrize("via", Via)
def test_a_corrected_configuration_is_tried_with_all_else_as_recorded(via: Via) -> None:
    faulty = half_attached(via)
    netconf = node_conf() if via is Via.SYSTEM else delegate("shop/red").call(POD, RED, SANDBOX).netconf
    assert networks().corrected(faulty) == faulty.invocation._replace(netconf=netconf)


@pytest.mark.parametrize(
    ("left", "today"),
    [
        (half_attached(Via.SYSTEM, result={}), networks()),
        (half_attached(Via.SYSTEM, adopted=True), networks()),
        (half_attached(Via.SYSTEM, name="another network"), networks()),
        (half_attached(Via.SYSTEM, plugin="kactus"), networks()),  # the same as is recorded
        (half_attached(Via.SYSTEM), networks(NO_SYSTEM)),
        (half_attached(Via.DELEGATE), networks(definitions=delegate())),
        (half_attached(Via.DELEGATE), networks(definitions=DelegateNetworks(away, BIN_DIRS, (), TRUST_ALL, ANY_MAC))),
        (half_attached(Via.DELEGATE, definition=None), networks()),
    ],
)
def test_nothing_else_is_tried_for_an_attached_interface_or_without_another_configuration_of_the_network(
    left: Record, today: ChosenNetworks
) -> None:
    assert today.corrected(left) is None
