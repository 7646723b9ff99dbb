from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest

from podagent.decide.dialects.kaloom_names import attachment
from podagent.foreign import Json
from podagent.kactus import networks
from podagent.kactus.failure import Failure
from podagent.kactus.networks import Wanted, read_wanted
from podagent.model import DefinitionRef
from unit.factory import TRUST_ALL

BRIDGE: Json = {"cniVersion": "0.3.1", "name": "green-net", "bridge": "br-green", "ipam": {"type": "host-local"}}
CHAIN: Json = {"cniVersion": "0.4.0", "name": "green-net", "plugins": [{"type": "bridge"}, {"type": "tuning"}]}
delegate_for = partial(networks.delegate_for, policy=TRUST_ALL)
delegate_today = partial(networks.delegate_today, policy=TRUST_ALL)
GREEN = attachment("green")
MAC = "02:00:00:00:00:0a"


def wanted(*entries: Json) -> Wanted:
    return read_wanted(json.dumps(entries), "shop")


def names(found: Wanted) -> list[str]:
    return [network.network for network in found.others]


def definition(config: Json | str = BRIDGE, plugin: str = "bridge") -> Json:
    text = config if isinstance(config, str) else json.dumps(config)
    return {"metadata": {"name": "green"}, "spec": {"plugin": plugin, "config": text}}


class Defined:
    """The definitions there are, by namespace."""

    def __init__(self, **by_namespace: Json) -> None:
        self._found = by_namespace

    def __call__(self, reference: DefinitionRef) -> Json | None:
        return self._found.get(reference.namespace)


@pytest.mark.parametrize("annotation", [None, "", "  \n", "[]"])
def test_no_networks_are_wanted_without_an_annotation_or_with_an_empty_one(annotation: str | None) -> None:
    assert read_wanted(annotation, "shop") == Wanted(None, ())


def test_networks_are_wanted_in_their_order_with_the_primary_one_apart() -> None:
    found = wanted({"name": "red"}, {"name": "green", "isPrimary": True}, {"name": "blue", "ifMac": MAC.upper()})
    assert found.primary is not None
    assert (found.primary.network, names(found)) == ("green", ["red", "blue"])
    assert [network.mac for network in found.others] == [None, MAC]
    assert names(wanted({"name": "vlan"}, {"name": "trunk", "upperLayers": ["vlan"]})) == ["trunk", "vlan"]


def test_a_network_that_only_the_agent_skips_is_attached() -> None:
    assert names(wanted({"name": "red", "podagentSkip": True})) == ["red"]


@pytest.mark.parametrize(
    ("annotation", "fault"),
    [("nonsense", "pod annotation: "), ("[{}]", "pod annotation: "), ('[{"name": "../x"}]', "pod annotation: "),
     ('[{"name": "red"}, {"name": "green", "isPrimary": "yes"}]', "pod annotation: "),
     ('[{"name": "a", "isPrimary": true}, {"name": "b", "isPrimary": true}]', "only one network can be primary"),
     ('[{"name": "red", "namespace": "infra"}]', "networks of namespace infra may not be used")],
)  # fmt: skip
def test_an_annotation_with_a_fault_attaches_nothing(annotation: str, fault: str) -> None:
    with pytest.raises(Failure, match=fault) as caught:
        read_wanted(annotation, "shop")
    assert caught.value.code == 7


def test_the_networks_of_global_namespaces_may_be_used() -> None:
    (only,) = read_wanted('[{"name": "red", "namespace": "infra"}]', "shop", ("infra",)).others
    assert only.definition == DefinitionRef("networks.kaloom.com/v1", "infra", "red")


def test_a_definition_is_looked_for_in_the_pods_namespace_and_in_default_where_that_is_global() -> None:
    both = Defined(shop=definition({**BRIDGE, "bridge": "of-shop"}), default=definition())
    assert delegate_for(GREEN, "shop", both)["bridge"] == "of-shop"
    assert delegate_for(GREEN, "elsewhere", both)["bridge"] == "br-green"
    with pytest.raises(Failure, match="network green is not defined") as caught:
        delegate_for(GREEN, "elsewhere", both, ("infra",))
    assert caught.value.code == 7
    with pytest.raises(Failure, match=r"of that name in namespace infra \[code 7\]$"):
        delegate_for(attachment("green", "infra"), "shop", both)


def test_a_delegate_is_the_definition_with_its_type_and_the_networks_name() -> None:
    own = {"type": "bridge", "networkName": "green", "kactusDefinition": "default/green"}
    for config in (BRIDGE, CHAIN):
        assert delegate_for(GREEN, "default", Defined(default=definition(config))) == {**config, **own}
    nameless = delegate_for(GREEN, "default", Defined(default=definition({"bridge": "b"})))
    assert nameless == {"cniVersion": "", "name": "green", "bridge": "b", **own}


HOSTILE: Json = {
    "masterPlugin": True, "masterplugin": True, "networkName": "red", "prevResult": {"ips": []}, "kactusAdding": True,
    "kactusIfName": "eth0", "kactusDefinition": "kube-system/x",
}  # fmt: skip


@pytest.mark.parametrize(
    "plugins", [None, [{"type": "bridge", **HOSTILE}, {"type": "tuning"}], [{"type": "bridge", **HOSTILE}]]
)
def test_a_definition_cannot_pass_for_the_default_interface_or_for_something_attached(plugins: Any) -> None:
    config = {**BRIDGE, **HOSTILE} if plugins is None else {"name": "n", **HOSTILE, "plugins": plugins}
    delegate = delegate_for(GREEN, "default", Defined(default=definition(config)))
    own = {key: delegate[key] for key in HOSTILE.keys() & delegate.keys()}
    assert own == {"networkName": "green", "kactusDefinition": "default/green"}
    assert not any(HOSTILE.keys() & plugin.keys() for plugin in delegate.get("plugins", ()))


def test_a_malformed_definition_is_reported_with_its_name() -> None:
    for malformed in (definition("nonsense"), definition("{}", "../bridge"), {"spec": None}):
        with pytest.raises(Failure, match="default/green") as caught:
            delegate_for(GREEN, "default", Defined(default=malformed))
        assert caught.value.code == 7


def test_a_kept_delegate_leads_back_to_its_definition_of_today() -> None:
    def unreachable(reference: DefinitionRef) -> Json | None:
        raise Failure(11, "no answer")

    kept = delegate_for(GREEN, "shop", Defined(shop=definition()))
    today = delegate_today(kept, Defined(shop=definition({**BRIDGE, "bridge": "corrected"})))
    assert today == {**kept, "bridge": "corrected"}
    for read in (Defined(), Defined(shop=definition("nonsense")), unreachable):
        assert delegate_today(kept, read) is None
    kalooms: Json = {"type": "bridge", "networkName": "green"}
    assert delegate_today(kalooms, Defined(default=definition())) is None
