"""Which definitions may be used: hostile ones are refused in words that name the rule and the setting."""

from __future__ import annotations

from typing import Any

import pytest

from podagent.errors import DefinitionRefused
from podagent.foreign import Json
from podagent.model import DefinitionRef
from podagent.netconf import NetConf
from podagent.resolve.policy import DefinitionPolicy, InUse
from podagent.resolve.rules import DEFAULT_PLUGINS, Rules

TENANTS = DefinitionRef("networks.kaloom.com/v1", "tenant", "blue")
ADMINS = TENANTS._replace(namespace="infra")
NODE_PLUGINS = frozenset({"calico", "bridge", "portmap"})
LOCAL: Json = {"type": "host-local", "subnet": "10.66.0.0/24"}
BRIDGE: Json = {"type": "bridge", "bridge": "br-blue", "ipam": LOCAL}


class Links:
    """The host's links, each with the namespace that made it, "" for the host's own."""

    def __init__(self, **makers: str) -> None:
        self.makers = makers

    def owns(self, namespace: str, link: str) -> bool:
        return self.makers.get(link) == namespace

    def make_bridge(self, namespace: str, bridge: str) -> bool:
        return bridge not in self.makers and self.makers.setdefault(bridge, namespace) == namespace

    def grant(self, namespace: str, link: str) -> None:
        self.makers[link] = namespace


def conf(*plugins: Json, name: str = "blue") -> NetConf:
    return NetConf({"cniVersion": "1.0.0", "name": name, "plugins": list(plugins)})


def policy(links: Links | None = None, in_use: tuple[InUse, ...] = (), **rules: Any) -> DefinitionPolicy:
    restricted = Rules(frozenset({"infra"}))._replace(**rules)
    return DefinitionPolicy(restricted, lambda: NODE_PLUGINS, links or Links(eth0="", mgmt0=""), lambda: in_use)


def refusal(refused: NetConf, where: DefinitionRef = TENANTS, **rules: Any) -> str:
    with pytest.raises(DefinitionRefused, match=str(where)) as caught:
        policy(**rules).permitted(refused, where)
    return str(caught.value)


@pytest.mark.parametrize("plugin", ["kactus", "multus", "multus-shim", "calico"])
@pytest.mark.parametrize("place", ["plugin", "later in the chain", "ipam", "IPAM in capitals", "nested delegate"])
def test_no_definition_runs_a_meta_plugin_or_the_nodes_system_plugin(plugin: str, place: str) -> None:
    chains: dict[str, list[Json]] = {
        "plugin": [{"type": plugin}],
        "later in the chain": [BRIDGE, {"type": plugin}],
        "ipam": [{**BRIDGE, "ipam": {"type": plugin}}],
        "IPAM in capitals": [{**BRIDGE, "IPAM": {"Type": plugin}}],
        "nested delegate": [{**BRIDGE, "more": [{"delegate": {"type": plugin}}]}],
    }
    for rules in ({}, {"trusted": None}):
        assert plugin in refusal(conf(*chains[place]), ADMINS, **rules)
    assert "no network definition may run it" in refusal(conf(*chains[place]))


def test_a_trusted_definition_may_do_anything_else() -> None:
    anything = conf({"type": "host-device", "device": "eth0"}, {**BRIDGE, "forceAddress": True}, {"type": "portmap"})
    assert policy().permitted(anything, ADMINS) is anything
    assert policy(trusted=None).permitted(anything, TENANTS) is anything


@pytest.mark.parametrize("plugin", ["host-device", "dhcp", "portmap", "firewall", "sriov", ""])
def test_a_tenant_uses_the_allowed_plugins_only(plugin: str) -> None:
    for chain in ([{"type": plugin}], [BRIDGE, {"type": plugin}], [{**BRIDGE, "ipam": {"type": plugin}}]):
        text = refusal(conf(*chain))
        assert f"CNI plugin {plugin} is not allowed" in text
        assert "allowed-plugins" in text
        assert "trusted-namespaces" in text
    if plugin == "dhcp":
        policy(plugins=frozenset({*DEFAULT_PLUGINS, plugin})).permitted(
            conf({**BRIDGE, "ipam": {"type": plugin}}), TENANTS
        )


@pytest.mark.parametrize(
    ("option", "conf_of"),
    [
        ("dataDir", {**BRIDGE, "ipam": {**LOCAL, "dataDir": "/etc"}}),
        ("dataDir", {**BRIDGE, "ipam": {**LOCAL, "DATADIR": "/etc"}}),  # Go's decoder does not regard case
        ("dataDir", {**BRIDGE, "ipam": {**LOCAL, "dataDir": "", "datadir": "/etc"}}),
        ("resolvConf", {**BRIDGE, "ipam": {**LOCAL, "re\u017folvConf": "/etc/shadow"}}),  # nor that of the long s
        ("daemonSocketPath", {**BRIDGE, "ipam": {**LOCAL, "daemonSocketPath": "/s"}}),
        ("kubernetes", {**BRIDGE, "ipam": {"type": "whereabouts", "kubernetes": {"kubeconfig": "/k"}}}),
        ("log_file", {**BRIDGE, "ipam": {"type": "whereabouts", "log_file": "/etc/cron.d/x"}}),
        ("forceAddress", {**BRIDGE, "forceAddress": True}),
        ("isGateway", {**BRIDGE, "isGateway": True}),
        ("ipMasq", {"type": "ptp", "ipam": LOCAL, "ipMasq": True}),
        ("prevResult", {"type": "bandwidth", "prevResult": {"interfaces": [{"name": "eth0"}]}}),
        ("sysctl", {"type": "tuning", "sysctl": {"kernel.core_pattern": "|/x"}}),
        ("sysctl", {"type": "tuning", "sysctl": {"net/../kernel/core_pattern": "|/x"}}),
        ("sysctl", {"type": "tuning", "sysctl": "x"}),
    ],
)
def test_a_tenant_sets_no_option_that_acts_on_the_host(option: str, conf_of: Json) -> None:
    text = refusal(conf(conf_of))
    assert f"option {option}, which" in text
    assert "allowed-options" in text
    policy(options=frozenset({option, "kubeconfig"})).permitted(conf(conf_of), TENANTS)


def test_an_option_that_is_off_is_no_option() -> None:
    off = {**BRIDGE, "isGateway": False, "ipMasq": False, "ipam": {**LOCAL, "dataDir": ""}}
    policy().permitted(conf(off, {"type": "tuning", "sysctl": {"net.ipv4.conf.all.arp_notify": "1"}}), TENANTS)


@pytest.mark.parametrize(
    ("link", "plugin"),
    [
        ("link mgmt0 of the host", {**BRIDGE, "bridge": "mgmt0"}),
        ("link mgmt0 of the host", {**BRIDGE, "Bridge": "mgmt0"}),
        ("link eth0 of the host", {"type": "macvlan", "master": "eth0"}),
        ("link eth0 of the host", {"type": "vlan", "master": "eth0", "linkInContainer": False}),
        (
            "link eth0 of the host",
            {"type": "vlan", "master": "eth0", "linkInContainer": True, "LinkInContainer": False},
        ),
        ("the link of the host's default route", {"type": "ipvlan"}),
        ("link 7 of the host", {"type": "macvlan", "master": 7}),
        ("link nowhere of the host", {"type": "macvlan", "master": "nowhere"}),
    ],
)
def test_a_tenant_uses_no_link_of_the_host_but_the_allowed_ones(link: str, plugin: Json) -> None:
    text = refusal(conf(plugin))
    assert f"{link} is not allowed" in text
    assert "allowed-links" in text
    allowing = Rules(frozenset(), links=("eth?", "mgmt*", "7", "nowhere", ""))
    DefinitionPolicy(allowing, frozenset, Links(eth0="", mgmt0=""), tuple).permitted(conf(plugin), TENANTS)


def test_a_link_in_the_pod_is_the_pods_own() -> None:
    policy().permitted(conf({"type": "vlan", "master": "eth0", "linkInContainer": True}), TENANTS)


def test_a_bridge_belongs_to_the_namespace_whose_definition_made_it() -> None:
    links = Links()
    policy(links).permitted(conf(BRIDGE), TENANTS)
    policy(links).permitted(conf(BRIDGE), TENANTS._replace(name="other"))
    with pytest.raises(DefinitionRefused, match="link br-blue of the host"):
        policy(links).permitted(conf(BRIDGE), TENANTS._replace(namespace="elsewhere"))
    with pytest.raises(DefinitionRefused, match="link cni0 of the host"):
        policy(Links(cni0="")).permitted(conf({"type": "bridge"}), TENANTS)


def test_a_bridge_with_attachments_of_the_namespace_stays_its_own_though_nobody_recorded_who_made_it() -> None:
    links, in_use = Links(**{"br-blue": ""}), ((TENANTS, conf(BRIDGE)),)
    with pytest.raises(DefinitionRefused):
        policy(links, in_use).permitted(conf(BRIDGE), TENANTS._replace(namespace="elsewhere"))
    policy(links, in_use).permitted(conf(BRIDGE), TENANTS)
    policy(links).permitted(conf(BRIDGE), TENANTS)


def test_a_tenants_network_has_a_name_of_its_own_for_ipam() -> None:
    assert policy().permitted(conf(BRIDGE), TENANTS).name == "tenant.blue"
    assert policy().permitted(conf(BRIDGE), ADMINS).name == "blue"
    long = policy().permitted(conf(BRIDGE, name="x" * 250), TENANTS).name
    assert long.startswith("tenant.")
    assert len(long) < 200


def test_a_network_with_attachments_under_its_plain_name_keeps_it_so_that_no_address_is_assigned_twice() -> None:
    in_use = ((TENANTS, conf(BRIDGE)),)
    assert policy(in_use=in_use).permitted(conf(BRIDGE), TENANTS).name == "blue"
    assert policy(in_use=in_use).permitted(conf(BRIDGE), TENANTS._replace(name="other")).name == "tenant.blue"
    assert policy(in_use=((TENANTS, conf(BRIDGE, name="tenant.blue")),)).permitted(conf(BRIDGE), TENANTS).name == (
        "tenant.blue"
    )
