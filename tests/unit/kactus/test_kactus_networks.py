from __future__ import annotations

import json
from typing import Any

import pytest

from podagent.decide.dialects.kaloom_names import attachment
from podagent.foreign import Json
from podagent.kactus.failure import Failure
from podagent.kactus.networks import Wanted, delegate_for, delegate_today, read_wanted
from podagent.model import Attachment, DefinitionRef

BRIDGE: Json = {"cniVersion": "0.3.1", "name": "green-net", "bridge": "br-green", "ipam": {"type": "host-local"}}


def wanted(*entries: Any, namespace: str = "shop") -> Wanted:
    return read_wanted(json.dumps(list(entries)), namespace)


def names(found: Wanted) -> list[str]:
    return [network.network for network in found.others]


def refused(annotation: str) -> str:
    with pytest.raises(Failure) as caught:
        read_wanted(annotation, "shop")
    assert caught.value.code == 7
    return caught.value.message


def definition(config: Any = None, plugin: Any = "bridge") -> Json:
    text = config if isinstance(config, str) else json.dumps(BRIDGE if config is None else config)
    return {"metadata": {"name": "green"}, "spec": {"plugin": plugin, "config": text}}


class Defined:
    """The definitions there are, and which of them were asked for."""

    def __init__(self, **by_namespace: Json) -> None:
        self._found = by_namespace
        self.asked: list[str] = []

    def __call__(self, reference: DefinitionRef) -> Json | None:
        self.asked.append(str(reference))
        return self._found.get(reference.namespace)


def green(namespace: str = "") -> Attachment:
    return attachment("green", namespace)


@pytest.mark.parametrize("annotation", [None, "", "  \n", "[]", " [ ] "])
def test_no_networks_are_wanted_without_an_annotation_or_with_an_empty_one(annotation: str | None) -> None:
    assert read_wanted(annotation, "shop") == Wanted(None, ())


def test_networks_are_wanted_in_the_order_given() -> None:
    found = wanted({"name": "red"}, {"name": "green", "ifMac": "02:00:00:00:00:0A"})
    assert found.primary is None
    assert names(found) == ["red", "green"]
    assert [network.mac for network in found.others] == [None, "02:00:00:00:00:0a"]


def test_lower_layers_come_first() -> None:
    assert names(wanted({"name": "vlan"}, {"name": "trunk", "upperLayers": ["vlan"]})) == ["trunk", "vlan"]


def test_a_primary_network_stands_apart() -> None:
    found = wanted({"name": "red"}, {"name": "green", "isPrimary": True})
    assert found.primary is not None
    assert (found.primary.network, names(found)) == ("green", ["red"])


def test_two_primary_networks_are_refused() -> None:
    entries = [{"name": name, "isPrimary": True} for name in ("red", "green")]
    assert "only one network can be primary" in refused(json.dumps(entries))


def test_what_only_the_agent_skips_is_attached() -> None:
    assert names(wanted({"name": "red", "podagentSkip": True})) == ["red"]


@pytest.mark.parametrize(
    "annotation",
    ["nonsense", "{}", "null", "7", '["red"]', "[{}]", '[{"name": "../x"}]', '[{"name": "red", "ifMac": "x;MAC=y"}]',
     '[{"name": "red", "isPrimary": "yes"}]', '[{"name": "red"}, {"nmae": "green"}]', "[" * 100_000],
)  # fmt: skip
def test_an_annotation_with_a_fault_attaches_nothing_and_tells_the_fault(annotation: str) -> None:
    assert "pod annotation: " in refused(annotation)


def test_the_networks_of_other_namespaces_may_not_be_used() -> None:
    assert "other" in refused('[{"name": "red", "namespace": "other"}]')


@pytest.mark.parametrize("namespace", ["shop", "default"])
def test_the_networks_of_the_own_and_of_the_default_namespace_may_be_used(namespace: str) -> None:
    (only,) = wanted({"name": "red", "namespace": namespace}).others
    assert only.definition == DefinitionRef("networks.kaloom.com/v1", namespace, "red")


def test_a_listing_twice_counts_once() -> None:
    assert names(wanted({"name": "red"}, {"name": "red"})) == ["red"]


def test_the_definition_of_the_entrys_namespace_is_used_and_no_other() -> None:
    defined = Defined(shop=definition())
    with pytest.raises(Failure, match=r"no networks\.kaloom\.com/v1 object of that name in namespace default"):
        delegate_for(green("default"), "shop", defined)
    assert defined.asked == ["default/green"]


def test_the_definition_of_the_pods_namespace_comes_before_the_default_one() -> None:
    defined = Defined(shop=definition({**BRIDGE, "bridge": "of-shop"}), default=definition())
    assert delegate_for(green(), "shop", defined)["bridge"] == "of-shop"


def test_the_definition_of_the_default_namespace_serves_the_others() -> None:
    defined = Defined(default=definition())
    assert delegate_for(green(), "shop", defined)["bridge"] == "br-green"
    assert defined.asked == ["shop/green", "default/green"]


@pytest.mark.parametrize("namespace", ["default", ""])
def test_no_definition_is_asked_for_twice(namespace: str) -> None:
    defined = Defined()
    with pytest.raises(Failure) as caught:
        delegate_for(green(), namespace, defined)
    assert caught.value.code == 7
    assert "network green is not defined" in caught.value.message
    assert defined.asked == ["default/green"]


def test_a_delegate_is_the_definition_with_its_type_and_the_networks_name() -> None:
    delegate = delegate_for(green(), "default", Defined(default=definition()))
    shown = {key: value for key, value in delegate.items() if not key.startswith("kactus")}
    assert shown == {**BRIDGE, "type": "bridge", "networkName": "green"}


def test_a_definition_without_a_name_has_that_of_the_network() -> None:
    delegate = delegate_for(green(), "default", Defined(default=definition({"bridge": "b"})))
    assert (delegate["name"], delegate["cniVersion"]) == ("green", "0.1.0")


def test_a_chain_is_kept_whole_under_the_type_of_its_first_plugin() -> None:
    chain = {"cniVersion": "0.4.0", "name": "green-net", "plugins": [{"type": "bridge"}, {"type": "tuning"}]}
    delegate = delegate_for(green(), "default", Defined(default=definition(chain)))
    assert [plugin["type"] for plugin in delegate["plugins"]] == ["bridge", "tuning"]
    assert (delegate["type"], delegate["networkName"]) == ("bridge", "green")


HOSTILE: Json = {
    "masterPlugin": True, "masterplugin": True, "networkName": "red", "prevResult": {"ips": []}, "kactusAdding": True,
    "kactusIfName": "eth0", "kactusDefinition": "kube-system/x",
}  # fmt: skip


@pytest.mark.parametrize(
    "config",
    [{**BRIDGE, **HOSTILE}, {"name": "n", **HOSTILE, "plugins": [{"type": "bridge", **HOSTILE}, {"type": "tuning"}]},
     {"name": "n", **HOSTILE, "plugins": [{"type": "bridge", **HOSTILE}]}],
)  # fmt: skip
def test_a_definition_cannot_pass_for_the_default_interface_or_for_something_attached(config: Json) -> None:
    delegate = delegate_for(green(), "default", Defined(default=definition(config)))
    assert delegate["networkName"] == "green"
    assert delegate["kactusDefinition"] == "default/green"
    assert not {"masterPlugin", "masterplugin", "prevResult", "kactusAdding", "kactusIfName"} & delegate.keys()
    assert not any(HOSTILE.keys() & plugin.keys() for plugin in delegate.get("plugins", ()))


@pytest.mark.parametrize(
    ("config", "plugin"),
    [("nonsense", "bridge"), ("[]", "bridge"), ("", "bridge"), (" " * (1 << 20) + "{}", "bridge"), ("{}", "../bridge"),
     ("{}", "/bin/sh"), ("{}", ""), ("{}", None), ("{}", ["bridge"]), ('{"ipam": {"type": "../../x"}}', "bridge"),
     ('{"name": "../x"}', "bridge"), ('{"plugins": [{"type": "a/b"}]}', "a/b"), ('{"plugins": []}', "bridge")],
)  # fmt: skip
def test_a_malformed_definition_is_told_by_its_name(config: str, plugin: Any) -> None:
    with pytest.raises(Failure) as caught:
        delegate_for(green(), "default", Defined(default=definition(config, plugin)))
    assert caught.value.code == 7
    assert "default/green" in caught.value.message
    assert len(caught.value.message) < 500


@pytest.mark.parametrize("spec", [None, [], "x", {"plugin": "bridge"}, {"config": "{}"}])
def test_a_definition_without_a_usable_spec_is_told_by_its_name(spec: Any) -> None:
    with pytest.raises(Failure, match="default/green"):
        delegate_for(green(), "default", Defined(default={"spec": spec}))


def test_a_definition_of_one_mebibyte_is_used() -> None:
    config = {**BRIDGE, "comment": "x" * ((1 << 20) - 200)}
    assert delegate_for(green(), "default", Defined(default=definition(config)))["bridge"] == "br-green"


def test_a_kept_delegate_leads_back_to_its_definition_of_today() -> None:
    kept = delegate_for(green(), "shop", Defined(shop=definition()))
    today = delegate_today(kept, Defined(shop=definition({**BRIDGE, "bridge": "corrected"})))
    assert today is not None
    assert today["bridge"] == "corrected"


@pytest.mark.parametrize("defined", [Defined(), Defined(shop=definition("nonsense"))])
def test_a_definition_that_is_gone_or_faulty_is_none_today(defined: Defined) -> None:
    assert delegate_today(delegate_for(green(), "shop", Defined(shop=definition())), defined) is None


def test_a_definition_that_cannot_be_had_is_none_today() -> None:
    def unreachable(reference: DefinitionRef) -> Json | None:
        raise Failure(11, "no answer")

    assert delegate_today(delegate_for(green(), "shop", Defined(shop=definition())), unreachable) is None


def test_a_delegate_of_kaloom_leads_back_to_nothing() -> None:
    assert delegate_today({"type": "bridge", "networkName": "green"}, Defined(default=definition())) is None


# --- namespaces for all ---------------------------------------------------------------------------------------------


def test_a_network_of_another_namespace_needs_that_to_be_global() -> None:
    annotation = json.dumps([{"name": "green", "namespace": "infra"}])
    (only,) = read_wanted(annotation, "shop", ("infra",)).others
    assert only.definition.namespace == "infra"
    with pytest.raises(Failure, match="networks of namespace infra may not be used"):
        read_wanted(annotation, "shop")


@pytest.mark.parametrize(
    ("for_all", "asked"), [(("default",), ["shop/green", "default/green"]), (("infra",), ["shop/green"])]
)
def test_default_is_looked_into_only_where_it_is_for_all(for_all: tuple[str, ...], asked: list[str]) -> None:
    defined = Defined()
    with pytest.raises(Failure, match="network green is not defined"):
        delegate_for(green(), "shop", defined, for_all)
    assert defined.asked == asked


def test_without_any_namespace_nothing_is_asked_for() -> None:
    defined = Defined()
    with pytest.raises(Failure, match="in any namespace"):
        delegate_for(green(), "", defined, ())
    assert defined.asked == []
