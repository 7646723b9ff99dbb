"""The decision table against the one of the design, cell by cell, and what surrounds it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from podagent.decide.desired import Desired
from podagent.decide.plan import TABLE, Found, Plan, Step, Want, plan_gone, plan_pod
from podagent.model import Attachment, DefinitionRef, NetnsRef, Operation, Phase, Record
from unit.factory import attachment, record, sandbox

# As the design has it. Forgetting a record is how a detach ends, so that "forget" is no step of its own.
DESIGN = """
| desired \\ record | none | ATTACHING | ATTACHED, same | ATTACHED, changed | DETACHING |
| wanted | attach (or adopt: see below) | detach, attach | nothing | detach, attach | detach, attach |
| not wanted | nothing | detach | detach | detach | detach |
| pod gone | nothing | detach, forget | detach, forget | detach, forget | detach, forget |
"""


def test_the_table_is_that_of_the_design() -> None:
    header, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in DESIGN.strip().splitlines()]
    design = {}
    for want, *cells in rows:
        for found, text in zip(header[1:], cells, strict=True):
            words = [word.strip() for word in text.partition("(")[0].split(",")]
            design[want, found] = [word for word in words if word not in ("nothing", "forget")]
    ours = {(w.value, f.value): [step.value for step in steps] for w, row in TABLE.items() for f, steps in row.items()}
    assert ours == design
    assert ours.keys() == {(want.value, found.value) for want in Want for found in Found}


def wanted(*attachments: Attachment, **more: Any) -> Desired:
    return Desired(attachments, **more)


def planned(detach: Sequence[Record] = (), attach: Sequence[Attachment] = ()) -> Plan:
    """These are detached, then those attached."""
    again = {each.ifname: each for each in attach}
    detached = [Step(Operation.DETACH, r.attachment, r, again.get(r.attachment.ifname)) for r in detach]
    return (*detached, *(Step(Operation.ATTACH, each) for each in attach))


RED, GREEN = attachment("red"), attachment("green")
SANDBOX = sandbox(7)
AGAIN = "again"


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({}, None),
        ({"phase": Phase.ATTACHING}, AGAIN),
        ({"phase": Phase.DETACHING}, AGAIN),
        ({"sandbox_id": "sandbox-8"}, AGAIN),
        ({"netns": NetnsRef("/proc/8/ns/net", 7, 7)}, AGAIN),
        ({"netns": NetnsRef("/proc/7/ns/net", 8, 7)}, AGAIN),
        ({"netns": NetnsRef("/proc/7/ns/net", 7, 8)}, AGAIN),
        ({"attachment": RED._replace(mac="02:00:00:00:00:01")}, AGAIN),
        ({"attachment": RED._replace(capabilities={"ips": ["10.0.0.9/24"]})}, AGAIN),
        ({"attachment": RED._replace(args=(("MAC", "02:00:00:00:00:01"),))}, AGAIN),
        ({"attachment": attachment("red", namespace="other")}, AGAIN),
        ({"attachment": RED._replace(definition=DefinitionRef("other/v1", "", "red"))}, AGAIN),
        ({"attachment": attachment("red", upper_layers=("green",))}, None),
        ({"adopted": True, "result": None}, None),
        ({"boot_id": "another"}, None),
        ({"invocation": record("other").invocation}, None),
    ],
)
def test_what_counts_as_a_change_of_an_attachment(changes: dict[str, Any], outcome: str | None) -> None:
    found = record("red", **changes)
    expected = planned([found], [RED]) if outcome == AGAIN else ()
    assert plan_pod(wanted(RED), [found], SANDBOX) == expected


def test_a_link_that_vanished_or_is_to_have_another_name_is_attached_again() -> None:
    found, renamed = record("red"), RED._replace(ifname="net1")
    assert plan_pod(wanted(RED), [found], SANDBOX, frozenset({RED.ifname})) == planned([found], [RED])
    assert not plan_pod(wanted(RED), [found], SANDBOX, frozenset({GREEN.ifname}))
    assert plan_pod(wanted(renamed), [found], SANDBOX) == planned([found], [renamed])


def test_without_a_sandbox_what_is_wanted_waits_and_what_is_not_goes() -> None:
    red, green = record("red", phase=Phase.ATTACHING), record("green")
    assert plan_pod(wanted(RED), [red, green], None) == planned([green])


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("fault", [wanted(held=frozenset({RED.ifname})), wanted(hold_all=True)], ids=["held", "all"])
def test_a_held_interface_is_not_touched(phase: Phase, fault: Desired) -> None:
    assert plan_pod(fault, [record("red", phase=phase)], SANDBOX) == ()


def test_siblings_of_a_fault_are_attached_and_changed() -> None:
    red, other = record("red", sandbox_id="old"), record("other")
    assert plan_pod(wanted(RED, GREEN, hold_all=True), [red, other], SANDBOX) == planned([red], [RED, GREEN])


def test_attaches_in_the_order_wanted_and_detaches_newest_first() -> None:
    a, b, c = (record(name, sequence=sequence) for name, sequence in (("a", 1), ("b", 3), ("c", 2)))
    assert plan_pod(wanted(GREEN, RED), [a, b, c], SANDBOX) == planned([b, c, a], [GREEN, RED])


@pytest.mark.parametrize("phase", Phase)
def test_everything_of_a_pod_that_is_gone_goes_newest_first(phase: Phase) -> None:
    records = [record("red", sequence=1, phase=phase), record("green", sequence=2, phase=phase)]
    assert plan_gone(records) == planned([records[1], records[0]])


def test_nothing_to_do_is_an_empty_plan() -> None:
    assert not plan_gone([])
    assert not plan_pod(Desired(), [], SANDBOX)


@pytest.mark.parametrize("below", [{"phase": Phase.ATTACHING}, {"attachment": RED._replace(mac="02:00:00:00:00:01")}])
def test_a_network_on_a_layer_that_is_attached_again_is_attached_again_too(below: dict[str, Any]) -> None:
    bond = attachment("red", upper_layers=("green",))
    vlan = attachment("green", upper_layers=("top",))
    top = attachment("top")
    lower = record("red", sequence=1, **{"attachment": bond, **below})
    middle, upper = record("green", sequence=2, attachment=vlan), record("top", sequence=3, attachment=top)
    plan = plan_pod(wanted(bond, vlan, top), [lower, middle, upper], SANDBOX)
    assert plan == planned([upper, middle, lower], [bond, vlan, top])


def test_a_layer_that_comes_late_leaves_what_is_there() -> None:
    bond = attachment("red", upper_layers=("green",))
    assert plan_pod(wanted(bond, GREEN), [record("green")], SANDBOX) == planned([], [bond])
