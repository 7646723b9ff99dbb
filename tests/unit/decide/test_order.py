"""Lower layers first, otherwise as given; detaching in reverse."""

from __future__ import annotations

from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from podagent.decide.order import attach_order, detach_order
from podagent.model import Attachment
from unit.factory import attachment, record

names = st.lists(st.sampled_from("abcdefgh"), unique=True, max_size=8)


@st.composite
def acyclic(draw: st.DrawFn) -> list[Attachment]:
    """Attachments whose layers rise along a hidden order, shuffled; they may name networks that are not there."""
    hidden = draw(names)
    made = []
    for index, name in enumerate(hidden):
        above = draw(st.lists(st.sampled_from([*hidden[index + 1 :], "absent"]), max_size=4))
        made.append(attachment(name, upper_layers=tuple(above)))
    return draw(st.permutations(made))


@st.composite
def arbitrary(draw: st.DrawFn) -> list[Attachment]:
    above = st.lists(st.sampled_from("abcdefgh"), max_size=4).map(tuple)
    return [attachment(name, upper_layers=draw(above)) for name in draw(names)]


@given(acyclic())
def test_lower_layers_come_before_upper_ones_and_ordering_again_changes_nothing(attachments: list[Attachment]) -> None:
    ordered, cycle = attach_order(attachments)
    assert not cycle
    assert attach_order(ordered) == (ordered, False)
    place = {each.ifname: index for index, each in enumerate(ordered)}
    for each in ordered:
        assert all(place[each.ifname] < place[upper] for upper in each.upper_layers if upper in place)


@given(names)
def test_without_layers_the_order_stays_as_given(given_names: list[str]) -> None:
    attachments = [attachment(name) for name in given_names]
    assert attach_order(attachments) == (attachments, False)


@given(arbitrary())
def test_nothing_is_lost_or_doubled_also_in_cycles(attachments: list[Attachment]) -> None:
    ordered, _ = attach_order(attachments)
    assert sorted(ordered, key=str) == sorted(attachments, key=str)


def test_only_as_much_moves_as_has_to() -> None:
    a, vlan, b, c = map(attachment, ("a", "vlan", "b", "c"))
    bond = attachment("bond", upper_layers=("vlan",))
    assert attach_order([a, vlan, b, bond, c])[0] == [a, b, bond, vlan, c]


def test_a_cycle_comes_last_and_is_reported_also_if_it_is_a_network_on_top_of_itself() -> None:
    x, y = attachment("x", upper_layers=("y",)), attachment("y", upper_layers=("x",))
    free, own = attachment("free"), attachment("own", upper_layers=("own",))
    assert attach_order([x, free, y]) == ([free, x, y], True)
    assert attach_order([own]) == ([own], True)


def test_of_two_attachments_of_one_network_each_is_ordered_by_its_own_interface() -> None:
    upper = attachment("vlan")
    one = attachment("bond", upper_layers=("vlan",))
    two = attachment("bond", ifname="net2")
    assert attach_order([upper, two, one])[0] == [two, one, upper]


def test_detaches_in_reverse_of_attaching_however_the_records_come() -> None:
    records = [record(name, sequence=number) for number, name in enumerate("abc", 1)]
    for shuffled in permutations(records):
        assert [each.attachment.network for each in detach_order(shuffled)] == ["c", "b", "a"]


def test_detaches_upper_layers_first_even_if_they_were_attached_first() -> None:
    vlan = record("vlan", sequence=1)
    bond = record("bond", sequence=2, attachment=attachment("bond", upper_layers=("vlan",)))
    other = record("other", sequence=3)
    assert detach_order([vlan, bond, other]) == [other, vlan, bond]
