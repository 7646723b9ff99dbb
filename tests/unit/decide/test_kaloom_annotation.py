"""From the annotation to what is wanted: hostile bytes, clear messages, siblings served, nothing lost by mistake."""

from __future__ import annotations

import json
from typing import Any

import pytest

from podagent.decide.desired import Desired
from podagent.decide.dialects import kaloom
from podagent.decide.dialects.kaloom_names import interface_name
from podagent.model import Attachment, DefinitionRef
from unit.factory import annotation

GOOD = {"name": "good"}
MAC = "02:00:00:00:00:01"


def read(annotation: Any, namespace: str = "shop", global_namespaces: tuple[str, ...] = ("default",)) -> Desired:
    """`annotation`: text as it is; anything else is written as JSON."""
    text = annotation if isinstance(annotation, str) else json.dumps(annotation)
    return kaloom.read(text, namespace, global_namespaces)


def held(*names: str) -> frozenset[str]:
    return frozenset(map(interface_name, names))


def networks(desired: Desired) -> list[str]:
    return [attachment.network for attachment in desired.attachments]


@pytest.mark.parametrize("text", ["", "  ", "\n\t", "[]", " [ ] "])
def test_nothing_is_wanted_without_entries(text: str) -> None:
    assert read(text) == Desired()


def test_reads_every_field() -> None:
    entry = {"name": "data", "ifMac": "02:AB:00:00:00:01", "namespace": "default", "upperLayers": ["vlan"]}
    assert read([entry]).attachments == (
        Attachment(
            DefinitionRef("networks.kaloom.com/v1", "default", "data"),
            interface_name("data"),
            mac="02:ab:00:00:00:01",
            capabilities={"mac": "02:ab:00:00:00:01"},
            args=(("CNI_IFMAC", "02:ab:00:00:00:01"), ("MAC", "02:ab:00:00:00:01")),
            upper_layers=(interface_name("vlan"),),
        ),
    )


@pytest.mark.parametrize("nothing", [None, ""])
def test_empty_optional_fields_are_as_absent(nothing: object) -> None:
    entry = {"name": "data", "ifMac": nothing, "namespace": nothing, "upperLayers": None}
    assert read([entry]) == read([{"name": "data"}])


def test_lower_layers_come_first_and_otherwise_the_order_of_the_annotation_is_kept() -> None:
    entries = [{"name": "vlan"}, {"name": "red"}, {"name": "bond", "upperLayers": ["vlan"]}, {"name": "green"}]
    assert networks(read(entries)) == ["red", "bond", "vlan", "green"]


def test_a_layer_that_is_no_network_of_the_pod_is_reported_and_no_fault() -> None:
    entries = [{"name": "bond", "upperLayers": ["vlan", "valn", "bad"]}, {"name": "vlan"}, {"name": "bad", "ifMac": 7}]
    desired = read(entries)
    assert networks(desired) == ["bond", "vlan"]
    assert desired.held == held("bad")
    assert "networks[0] (bond): upperLayers: valn is no network of this pod: it has no effect" in desired.problems
    assert len(desired.problems) == 2


def test_a_cycle_of_layers_is_reported_and_attached_in_the_order_given() -> None:
    entries = [{"name": "a", "upperLayers": ["b"]}, {"name": "b", "upperLayers": ["a"]}, GOOD]
    desired = read(entries)
    assert networks(desired) == ["good", "a", "b"]
    assert "cycle" in desired.problems[0]


@pytest.mark.parametrize("flag", ["isPrimary", "podagentSkip"])
def test_leaves_primary_and_skipped_networks_alone(flag: str) -> None:
    desired = read([{"name": "data", flag: True}, {"name": "red", flag: False}])
    assert (networks(desired), desired.held, desired.problems) == (["red"], held("data"), ())


NO_JSON = ["{not json", "[", '[{"name": "good"},]', '[{"name": "good"}] [', "good", "NaN", "\0", "\ud800", '["\n"]']
NO_LISTS = ['{"name": "good"}', '"good"', "7", "null", "true"]
TOO_DEEP_OR_LONG = ["[" * 100_000, '{"a":' * 100_000, "9" * 5000]


@pytest.mark.parametrize("text", [*NO_JSON, "\N{BYTE ORDER MARK}[]", *NO_LISTS, *TOO_DEEP_OR_LONG])
def test_an_unreadable_annotation_is_a_fault_and_never_an_empty_wish(text: str) -> None:
    desired = read(text)
    assert desired.hold_all
    assert desired.attachments == ()
    assert desired.problems[0].startswith("annotation networks ")


NO_ENTRIES: list[object] = [None, 7, "red", [], True, {}, {"nam": "red"}]
NO_TEXTS = [None, 7, ["red"], {"name": "red"}, float("nan"), float("inf")]
NO_NAMES = [
    "",
    "a" * 300,
    "../../x",
    "a;K8S_POD_NAMESPACE=victim",
    "a=b",
    "Red",
    "red\n",
    "red\0",
    "\0",
    "\ud800",
    "röd",
]


@pytest.mark.parametrize("entry", [*NO_ENTRIES, *({"name": name} for name in NO_TEXTS + NO_NAMES)])
@pytest.mark.parametrize("place", [0, 1])
def test_an_entry_without_a_usable_name_holds_everything_and_its_siblings_are_served(entry: object, place: int) -> None:
    desired = read([entry, GOOD] if place == 0 else [GOOD, entry])
    assert networks(desired) == ["good"]
    assert desired.hold_all
    assert len(desired.problems) == 1
    assert desired.problems[0].startswith(f"networks[{place}]: ")


FAULTY: dict[str, list[object]] = {
    "ifMac": [f"{MAC};K8S_POD_NAME=victim", f"{MAC}\n", f"{MAC}\0", "ff:ff:ff:ff:ff:ff", 7, []],
    "isPrimary": ["true", 1],
    "podagentSkip": ["no", {}],
    "namespace": ["kube-system", "../kube-system", 7, "default\n"],
    "upperLayers": ["vlan", {"vlan": 1}, [None], ["a;b"], [["vlan"]]],
}


@pytest.mark.parametrize(("field", "value"), [(field, value) for field in FAULTY for value in FAULTY[field]])
def test_a_faulty_field_holds_its_interface_only(field: str, value: object) -> None:
    desired = read([{"name": "bad", field: value}, GOOD])
    assert networks(desired) == ["good"]
    assert (desired.held, desired.hold_all) == (held("bad"), False)
    assert desired.problems[0].startswith("networks[0] (bad): ")
    assert field in desired.problems[0]


def test_unknown_fields_are_reported_and_ignored() -> None:
    desired = read([{"name": "good", "ifmac": "x", "\n;": 1}])
    assert networks(desired) == ["good"]
    assert desired.problems == (
        "networks[0] (good): unknown field 'ifmac' is ignored",
        "networks[0] (good): unknown field '\\n;' is ignored",
    )


def test_of_two_entries_of_a_name_the_first_counts_also_if_it_is_left_alone() -> None:
    desired = read([{"name": "red", "ifMac": MAC}, {"name": "red", "ifMac": "02:00:00:00:00:02"}, GOOD])
    assert [(each.network, each.mac) for each in desired.attachments] == [("red", MAC), ("good", None)]
    assert desired.problems == ("networks[1] (red): listed twice; the first entry counts",)
    assert read([{"name": "red", "podagentSkip": True}, {"name": "red"}]).attachments == ()


def test_networks_may_come_from_the_pods_own_and_the_global_namespaces_alone() -> None:
    for namespace in ("shop", "default", "infra"):
        desired = read([{"name": "red", "namespace": namespace}], "shop", ("default", "infra"))
        assert desired.attachments[0].definition.namespace == namespace
    (problem,) = read([{"name": "red", "namespace": "victim"}]).problems
    assert "victim" in problem
    assert "global-namespaces" in problem, "the setting that would allow it"


@pytest.mark.parametrize("entries", [[7] * 512, [GOOD] * 512, [{"name": "good"} | {f"x{n}": 1 for n in range(5000)}]])
def test_nobody_floods_the_journal_with_faults(entries: list[Any]) -> None:
    problems = read(entries).problems
    assert len(problems) <= 21
    assert "more faults" in problems[-1]
    (problem,) = read([{"name": "x" * 200_000}]).problems
    assert len(problem) < 300


@pytest.mark.promise(
    "Annotations: an annotation lists more than 512 networks",
    "it is refused as a whole, and interfaces stay",
)
def test_a_list_far_longer_than_any_pod_needs_is_refused_as_a_whole() -> None:
    desired = read([{"name": f"n{number}"} for number in range(513)])
    assert (desired.attachments, desired.hold_all) == ((), True)
    assert "513 entries" in desired.problems[0]


def test_a_long_list_of_layers_is_read_in_reasonable_time() -> None:
    names = [f"n{number}" for number in range(512)]
    entries = [{"name": name, "upperLayers": names[number + 1 : number + 20]} for number, name in enumerate(names)]
    assert networks(read(entries)) == names


@pytest.mark.parametrize("depth", [*range(900, 1000, 3), *range(1480, 1500), *range(9980, 10_000)])
def test_deep_nesting_is_a_fault_at_any_depth(depth: int) -> None:
    inner = "[" * depth + "]" * depth
    for field in ('"name": ', '"name": "red", "ifMac": ', '"name": "red", "x": ', '"name": "red", "upperLayers": '):
        assert read(f"[{{{field}{inner}}}]").problems


def test_kactus_which_attaches_more_can_tell_apart_what_the_agent_leaves_alone() -> None:
    text = annotation({"name": "a", "isPrimary": True}, {"name": "b", "podagentSkip": True}, {"name": "c", "ifMac": 7})
    entries = kaloom.read_entries(text, "shop", ())
    assert [each.network for each in entries.attachments] == ["a", "b"]
    assert (entries.primaries, entries.skipped) == (held("a"), held("b"))
    assert (entries.faulty, entries.nameless) == (held("c"), False)
    assert kaloom.read_entries(None, "shop", ()) == kaloom.Entries()
