"""From pod objects as they come to the fields in use."""

from __future__ import annotations

from typing import Any

import pytest

from podagent.decide.desired import Unreadable
from podagent.foreign import Json
from podagent.kube.pods import MIRROR_ANNOTATION, parse_pod
from podagent.model import Pod, PodKey

NAMES: Json = {"namespace": "n", "name": "w", "uid": "u"}
UUID = "0f0b5bd8-62a4-4d9e-b1a3-5d3b63e9a0de"
ONE, TWO = {"containerID": "docker://1", "restartCount": 0}, {"containerID": "docker://2"}


def parsed(annotations: Json | None = None, **status: Any) -> Pod:
    metadata = {"namespace": "ns", "name": "web", "uid": UUID, "annotations": annotations}
    return parse_pod({"metadata": metadata, "spec": {"hostNetwork": True}, "status": status})


def test_takes_the_fields_in_use() -> None:
    pod = parsed({"networks": "[]", "other": "x"}, phase="Running")
    assert pod == Pod(PodKey("ns", "web", UUID), UUID, {"networks": "[]"}, "Running", True, False, pod.incarnation)


def test_a_static_pod_has_the_hash_that_its_mirror_names_but_nobody_becomes_another_pod_by_naming_its_uid() -> None:
    pod = parsed({MIRROR_ANNOTATION: "b1946ac92492d2347c6235b4d2611184"})
    assert (pod.static, pod.key.uid, pod.object_uid) == (True, "b1946ac92492d2347c6235b4d2611184", UUID)
    for other in ("11111111-2222-3333-4444-555555555555", "../x", "x" * 300, "\ud800", "a\nb"):
        pod = parsed({MIRROR_ANNOTATION: other})
        assert (pod.static, pod.key.uid) == (False, UUID)


@pytest.mark.parametrize(
    "obj",
    [
        {},
        {"metadata": None, "spec": None, "status": None},
        {"metadata": {"annotations": None}, "status": {"containerStatuses": None}},
        {"metadata": [], "spec": "x", "status": {"containerStatuses": [], "initContainerStatuses": [None, {}, 7]}},
        {"metadata": {"annotations": {"networks": None}}, "status": {"containerStatuses": {"containerID": "x"}}},
        *(
            {"metadata": {**NAMES, odd: value}}
            for odd in ("namespace", "name", "uid")
            for value in ("\ud800", "a\0", "../x", "A b", "x" * 254, 7, "")
        ),
        {"status": {"podIP": "\ud800", "containerStatuses": [{"containerID": ["docker://x"]}]}},
    ],
)
def test_absent_and_mistyped_fields_read_as_empty(obj: Json) -> None:
    pod = parse_pod(obj)
    assert (pod.key, pod.annotations) == (PodKey("", "", ""), {})


@pytest.mark.parametrize("annotations", [{"networks": []}, {"networks": 7}, [], "networks", 7])
def test_annotations_of_a_wrong_type_are_a_fault_and_never_no_networks(annotations: Any) -> None:
    assert isinstance(parsed(annotations).annotations["networks"], Unreadable)


def test_the_incarnation_changes_with_containers_and_address_and_with_nothing_else() -> None:
    before = parsed(containerStatuses=[ONE, TWO], podIP="10.0.0.1").incarnation
    same: Json = {"containerStatuses": [TWO, {**ONE, "ready": True}], "podIP": "10.0.0.1", "message": "x"}
    assert parsed(**same).incarnation == before
    others: list[Json] = [
        {"containerStatuses": [TWO], "podIP": "10.0.0.1"},
        {"containerStatuses": [ONE, TWO], "podIP": "10.0.0.2"},
        {"containerStatuses": [ONE, TWO]},
        {"podIP": "10.0.0.1"},
        {"containerStatuses": [ONE, TWO], "initContainerStatuses": [TWO], "podIP": "10.0.0.1"},
    ]
    assert before not in [parsed(**status).incarnation for status in others]
