"""All annotations of a pod, read together."""

from __future__ import annotations

from collections.abc import Collection

from podagent.decide.desired import LONGEST_ANNOTATION, Desired, Dialect, kept
from podagent.decide.wanted import ANNOTATIONS, wanted_by
from podagent.model import Attachment, Pod
from unit.factory import attachment, key

RED, GREEN, BLUE = map(attachment, ("red", "green", "blue"))


def dialect(annotation: str, desired: Desired) -> Dialect:
    """One in which every text means the same."""

    def read(text: str, pod_namespace: str, global_namespaces: Collection[str]) -> Desired:
        assert (text, pod_namespace, global_namespaces) == ("text", "default", ("shared",))
        return desired

    return Dialect(annotation, read)


def wanted(first: Desired, second: Desired, annotations: Collection[str] = ("one", "two")) -> Desired:
    asking = Pod(key(), "uid", dict.fromkeys(annotations, "text"), "Running")
    return wanted_by(asking, ("shared",), (dialect("one", first), dialect("two", second)))


def those(*attachments: Attachment) -> Desired:
    return Desired(tuple(attachments))


def test_kalooms_annotation_is_understood() -> None:
    asking = Pod(key(), "uid", {"networks": '[{"name": "red"}]'}, "Running")
    assert wanted_by(asking, ()) == those(RED)
    assert "networks" in ANNOTATIONS


def test_every_annotation_that_the_pod_has_is_served_and_no_other() -> None:
    assert wanted(those(RED), those(GREEN), ()) == Desired()
    assert wanted(those(RED), those(GREEN), ("two",)) == those(GREEN)
    assert wanted(those(RED, GREEN), those(BLUE)) == those(RED, GREEN, BLUE)


def test_a_fault_in_one_annotation_holds_what_it_may_have_meant_and_the_other_is_served() -> None:
    faulty = Desired(held=frozenset({"net1"}), hold_all=True, problems=("fault",))
    assert wanted(those(RED), faulty) == faulty._replace(attachments=(RED,))


def test_an_interface_that_two_annotations_name_is_the_first_ones_and_that_is_reported() -> None:
    desired = wanted(those(RED), those(RED._replace(mac="02:00:00:00:00:01"), GREEN))
    assert desired.attachments == (RED, GREEN)
    assert RED.ifname in desired.problems[0]


def test_an_interface_that_the_first_annotation_holds_is_not_attached_for_the_second() -> None:
    assert wanted(Desired(held=frozenset({RED.ifname})), those(RED)).attachments == ()


def test_an_annotation_that_is_not_kept_is_a_fault_that_holds_everything() -> None:
    longest = " " * LONGEST_ANNOTATION
    assert kept("networks", longest) is longest
    for value, why in ((longest + " ", "65537 characters"), ([], "a list"), ({}, "an object"), (7, "a number")):
        desired = wanted_by(Pod(key(), "uid", {"networks": kept("networks", value)}, "Running"), ())
        assert (desired.attachments, desired.hold_all) == ((), True)
        assert f"annotation networks {'has' if value == longest + ' ' else 'is'} {why}" in desired.problems[0]
