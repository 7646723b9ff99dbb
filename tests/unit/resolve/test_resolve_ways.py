"""The two ways to attach, and which of them is taken: exactly what a plugin would be called with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from podagent.errors import ApiError, DefinitionError, NetConfError, NoNetConf, PodNotReady, SettingsError
from podagent.foreign import Json
from podagent.model import Attachment, DefinitionRef, Invocation, Phase, PodKey, Record, Via
from podagent.netconf import NetConf
from podagent.resolve.delegate import DelegateNetworks
from podagent.resolve.lookup import find
from podagent.resolve.networks import ChosenNetworks
from podagent.resolve.node import NodePlugin
from podagent.resolve.system import SystemNetworks
from unit.factory import ANY_MAC, TRUST_ALL, attachment, pod, record, sandbox

POD = pod()._replace(key=PodKey("shop", "web", "uid"))
SANDBOX = sandbox()
BIN_DIRS = ("/opt/cni/bin", "/usr/lib/cni")
CONF = "/etc/cni/net.d/10-node.conf"
WRAPPER: Json = {"type": "acme-cni", "delegates": [{"type": "bridge", "masterPlugin": True}]}
RED = attachment("red")
RED_REQUESTED = (("K8S_POD_NETWORK", "red"), ("K8S_POD_IFMAC", ""))
MAC = "02:00:00:00:00:01"
RED_WITH_MAC = attachment("red", mac=MAC)
IN_INFRA = attachment("red", namespace="infra")
POD_ARGS = (
    ("IgnoreUnknown", "1"),
    ("K8S_POD_NAMESPACE", "shop"),
    ("K8S_POD_NAME", "web"),
    ("K8S_POD_INFRA_CONTAINER_ID", SANDBOX.id),
)

Conf = Callable[[], tuple[str, NetConf]]


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


def bin_dirs() -> tuple[str, ...]:
    return BIN_DIRS


def red(namespace: str) -> DefinitionRef:
    return RED.definition._replace(namespace=namespace)


def delegate(*there: str) -> DelegateNetworks:
    return DelegateNetworks(Definitions(*there).read, bin_dirs, ("default",), TRUST_ALL, ANY_MAC)


def node_conf(plugin: str = "kactus", name: str = "node") -> NetConf:
    return NetConf({"cniVersion": "0.4.0", "name": name, "plugins": [{"type": plugin}]})


def no_conf() -> tuple[str, NetConf]:
    raise NoNetConf("no valid CNI network configuration")


def half_written() -> tuple[str, NetConf]:
    raise NetConfError("05-kactus.conf: not JSON")


def system(vendor: str = "") -> SystemNetworks:
    return SystemNetworks(bin_dirs, vendor)


def node(attach_via: str = "auto", *plugins: Json | str) -> NodePlugin:
    """A node whose configuration is the chain of these plugins, kactus by default."""
    chain = [each if isinstance(each, dict) else {"type": each} for each in plugins or ("kactus",)]
    netconf = NetConf({"cniVersion": "0.4.0", "name": "node", "plugins": chain})
    return NodePlugin(attach_via, lambda: (CONF, netconf))


def chosen(of: NodePlugin, *attached: str) -> ChosenNetworks:
    """`attached`: the networks that the node's kactus has attached to the sandbox."""
    return ChosenNetworks(of, system(), delegate("shop/red"), lambda _, network: network in attached, bin_dirs)


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
    passed = (*POD_ARGS, ("K8S_POD_UID", "uid"), *args)
    assert call == Invocation(call.netconf, BIN_DIRS, passed, capabilities, red("shop"))


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
    DelegateNetworks(definitions.read, bin_dirs, (), TRUST_ALL, ANY_MAC).call(POD._replace(asked_at=7.0), RED, SANDBOX)
    assert definitions.since == 7.0


def test_an_api_server_that_is_away_is_no_missing_definition() -> None:
    with pytest.raises(ApiError):
        DelegateNetworks(away, bin_dirs, (), TRUST_ALL, ANY_MAC).call(POD, RED, SANDBOX)


@pytest.mark.parametrize(
    ("asked", "args"),
    [
        (RED, RED_REQUESTED),
        (RED_WITH_MAC, (("K8S_POD_NETWORK", "red"), ("K8S_POD_IFMAC", MAC))),
        (IN_INFRA, (("K8S_POD_NETWORK", "red"), ("K8S_POD_IFMAC", ""), ("K8S_POD_NETWORK_NAMESPACE", "infra"))),
    ],
)
def test_the_system_plugin_gets_the_attachment_in_its_arguments(
    asked: Attachment, args: tuple[tuple[str, str], ...]
) -> None:
    call = system().call(POD, asked, SANDBOX, node_conf())
    assert (call.netconf, call.args) == (node_conf(), (*POD_ARGS, *args))


@pytest.mark.parametrize(("vendor", "first"), [("", "/opt/kactus/bin"), ("acme", "/opt/acme/cni/bin")])
def test_the_vendors_directory_is_looked_into_first(vendor: str, first: str) -> None:
    assert system(vendor).call(POD, RED, SANDBOX, node_conf()).path == (first, *BIN_DIRS)


@pytest.mark.parametrize(("phase", "populated"), [("Pending", True), ("", True), ("Running", False)])
def test_the_agent_keeps_off_while_the_kubelet_sets_the_pod_up(phase: str, populated: bool) -> None:
    with pytest.raises(PodNotReady, match="shop/web"):
        chosen(node()).resolve(POD._replace(phase=phase), RED, sandbox(populated=populated))


@pytest.mark.parametrize(
    ("of", "via"),
    [
        (node("auto", "kactus"), Via.SYSTEM),
        (node("auto", "kactus", "portmap"), Via.SYSTEM),
        (node("auto", "bridge"), Via.DELEGATE),
        (node("auto", "bridge", "kactus"), Via.DELEGATE),
        (node("auto", "multus"), Via.DELEGATE),
        (NodePlugin("auto", no_conf), Via.DELEGATE),
        (node("system", "kactus"), Via.SYSTEM),
        (node("system", WRAPPER), Via.SYSTEM),
        (node("delegate", "kactus"), Via.DELEGATE),
        (node("delegate", "bridge"), Via.DELEGATE),
        (NodePlugin("delegate", no_conf), Via.DELEGATE),
        (NodePlugin("delegate", half_written), Via.DELEGATE),
    ],
)
def test_the_way_that_is_taken(of: NodePlugin, via: Via) -> None:
    of.require_usable()
    assert chosen(of).resolve(POD, RED, SANDBOX)[0] is via


@pytest.mark.parametrize(
    "plugin",
    ["bridge", "ptp", "calico", "multus", "multus-shim", {"type": "multus", "delegates": [{"type": "bridge"}]},
     {"type": "bridge", "delegates": [{"type": "kactus"}]}, {"type": "other", "delegates": []},
     {"type": "other", "kubeconfig": "/k", "clusterNetwork": "/c"}],
)  # fmt: skip
def test_a_plugin_that_would_attach_the_default_network_instead_is_not_asked(plugin: Json | str) -> None:
    of = node("system", plugin, "kactus")
    with pytest.raises(SettingsError, match=r"10-node\.conf makes .* set attach-via to auto or delegate, or "):
        of.require_usable()
    with pytest.raises(NetConfError, match="attach-via is system"):
        chosen(of).resolve(POD, RED, SANDBOX)
    with pytest.raises(NetConfError, match="attach-via is system"):
        of.stance()


@pytest.mark.parametrize(
    ("attach_via", "conf", "says"),
    [("auto", half_written, "05-kactus"), ("system", half_written, "05-kactus"), ("system", no_conf, "no valid")],
)
def test_a_configuration_that_is_faulty_or_missing_is_waited_for(attach_via: str, conf: Conf, says: str) -> None:
    of = NodePlugin(attach_via, conf)
    of.require_usable()
    with pytest.raises(NetConfError, match=says):
        chosen(of).resolve(POD, RED, SANDBOX)


def test_the_way_follows_the_nodes_configuration_as_it_changes() -> None:
    types = ["kactus", "bridge"]
    of = NodePlugin("auto", lambda: (CONF, node_conf(types[-1])))
    before = chosen(of).resolve(POD, RED, SANDBOX)[0]
    types.pop()
    assert (before, chosen(of).resolve(POD, RED, SANDBOX)[0]) == (Via.DELEGATE, Via.SYSTEM)


@pytest.mark.parametrize(
    ("of", "waits"),
    [
        (node("delegate", "kactus"), "10-node.conf"),
        (node("delegate", "bridge", "multus"), "10-node.conf"),
        (node("delegate", WRAPPER), "10-node.conf"),
        (node("delegate", {"type": "other", "clusterNetwork": "/c"}), "10-node.conf"),
        (node("delegate", {"type": "other", "delegate": {"type": "kactus"}}), "10-node.conf"),
        (node("auto", "multus-shim"), "10-node.conf"),
        (NodePlugin("delegate", half_written), "05-kactus"),
        (node("delegate", "bridge", "portmap"), ""),
        (node("delegate", {"type": "flannel", "delegate": {"type": "bridge"}}), ""),
        (node("delegate", {"type": "calico", "kubernetes": {"kubeconfig": "/k"}}), ""),
        (NodePlugin("delegate", no_conf), ""),
    ],
)
def test_in_delegate_mode_too_the_agent_waits_for_a_plugin_that_attaches_networks_at_pod_start(
    of: NodePlugin, waits: str
) -> None:
    starting, empty = POD._replace(phase="Pending"), sandbox(populated=False)
    if waits:
        with pytest.raises(PodNotReady, match=waits):
            chosen(of).resolve(starting, RED, empty)
    else:
        assert chosen(of).resolve(starting, RED, empty)[0] is Via.DELEGATE
    # An init container may wait for a network that was not there at the start.
    assert chosen(of).resolve(starting, RED, SANDBOX)[0] is Via.DELEGATE
    assert ("to each pod only when" in of.stance(), waits in of.stance()) == (bool(waits), True)


def test_a_network_that_kactus_has_attached_at_pod_start_is_left_to_kactus_in_delegate_mode_too() -> None:
    via, call = chosen(node("delegate"), "red").resolve(POD, RED, SANDBOX)
    assert (via, call.netconf, call.args[-2:]) == (Via.SYSTEM, node_conf(), RED_REQUESTED)
    assert chosen(node("delegate"), "green").resolve(POD, RED, SANDBOX)[0] is Via.DELEGATE


def networks(
    conf: Conf | None = None, definitions: DelegateNetworks | None = None, bins: tuple[str, ...] = ("/recorded",)
) -> ChosenNetworks:
    of = NodePlugin("auto", conf or (lambda: (CONF, node_conf())))
    return ChosenNetworks(of, system(), definitions or delegate("shop/red"), lambda *_: False, lambda: bins)


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


def test_plugins_that_have_moved_since_are_found_for_what_was_attached_too() -> None:
    left = half_attached(Via.DELEGATE, result={})
    moved = networks(bins=("/moved", "/recorded")).corrected(left)
    assert moved == left.invocation._replace(path=("/recorded", "/moved"))
    twice = left._replace(invocation=left.invocation._replace(path=("/recorded", "/recorded")))
    assert networks().corrected(twice) is None


@pytest.mark.parametrize(
    ("left", "today"),
    [
        (half_attached(Via.SYSTEM, result={}), networks()),
        (half_attached(Via.SYSTEM, adopted=True), networks()),
        (half_attached(Via.SYSTEM, name="another network"), networks()),
        (half_attached(Via.SYSTEM, plugin="kactus"), networks()),  # the same as is recorded
        (half_attached(Via.SYSTEM), networks(no_conf)),
        (half_attached(Via.SYSTEM), networks(lambda: (CONF, node_conf("bridge")))),
        (half_attached(Via.DELEGATE), networks(definitions=delegate())),
        (half_attached(Via.DELEGATE), networks(definitions=DelegateNetworks(away, bin_dirs, (), TRUST_ALL, ANY_MAC))),
        (half_attached(Via.DELEGATE, definition=None), networks()),
    ],
)
def test_nothing_else_is_tried_for_an_attached_interface_or_without_another_configuration_of_the_network(
    left: Record, today: ChosenNetworks
) -> None:
    assert today.corrected(left) is None
