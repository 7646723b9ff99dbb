"""From pod objects as they come to the fields in use."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from podagent.kube.pods import parse_pod
from podagent.model import Pod, PodKey

UUID = "0f0b5bd8-62a4-4d9e-b1a3-5d3b63e9a0de"


def pod(**status: Any) -> dict[str, Any]:
    return {"metadata": {"namespace": "default", "name": "web", "uid": UUID}, "status": status}


def test_takes_the_fields_in_use() -> None:
    obj = {
        "metadata": {"namespace": "ns", "name": "web", "uid": UUID, "annotations": {"networks": "[]", "other": "x"}},
        "spec": {"hostNetwork": True},
        "status": {"phase": "Running", "podIP": "10.1.1.1"},
    }
    parsed = parse_pod(obj)
    assert parsed.key == PodKey("ns", "web", UUID)
    assert (parsed.object_uid, parsed.annotations, parsed.phase) == (UUID, {"networks": "[]"}, "Running")
    assert parsed.host_network
    assert not parsed.static


def test_a_static_pod_is_known_by_the_hash_its_mirror_names() -> None:
    obj = pod()
    obj["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "b1946ac92492d2347c6235b4d2611184"}
    parsed = parse_pod(obj)
    assert parsed.static
    assert parsed.key.uid == "b1946ac92492d2347c6235b4d2611184"
    assert parsed.object_uid == UUID


def test_nobody_becomes_another_pod_by_naming_its_uid_as_mirror() -> None:
    obj = pod()
    obj["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "11111111-2222-3333-4444-555555555555"}
    assert parse_pod(obj).key.uid == UUID
    assert not parse_pod(obj).static


@pytest.mark.parametrize(
    "obj",
    [
        {},
        {"metadata": None, "spec": None, "status": None},
        {"metadata": {"annotations": None}, "status": {"containerStatuses": None}},
        {"metadata": [], "spec": "x", "status": {"containerStatuses": [], "initContainerStatuses": [None, {}, 7]}},
        {"metadata": {"annotations": {"networks": 7}}, "status": {"containerStatuses": {"containerID": "x"}}},
        {"status": {"podIP": "\ud800", "containerStatuses": [{"containerID": ["docker://x"]}]}},
    ],
)
def test_absent_and_mistyped_fields_read_as_empty(obj: dict[str, Any]) -> None:
    parsed = parse_pod(obj)
    assert parsed.key == PodKey("", "", "")
    assert parsed.annotations == {}


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["metadata", "spec", "status", "annotations", "networks", "containerStatuses", "containerID"]
            )
            | st.text(),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # the first draw loads the table of Unicode
@given(st.dictionaries(st.sampled_from(["metadata", "spec", "status"]), anything))
def test_no_content_of_an_object_makes_parsing_fail(obj: dict[str, Any]) -> None:
    assert isinstance(parse_pod(obj), Pod)


def test_the_incarnation_stays_while_nothing_was_restarted() -> None:
    one, two = {"containerID": "docker://1", "restartCount": 0}, {"containerID": "docker://2"}
    before = parse_pod(pod(containerStatuses=[one, two], podIP="10.0.0.1"))
    after = parse_pod(pod(containerStatuses=[two, {**one, "ready": True}], podIP="10.0.0.1", message="x"))
    assert before.incarnation == after.incarnation


@pytest.mark.parametrize(
    "status",
    [
        {"containerStatuses": [{"containerID": "docker://2"}], "podIP": "10.0.0.1"},
        {"containerStatuses": [{"containerID": "docker://1"}], "podIP": "10.0.0.2"},
        {"containerStatuses": [{"containerID": "docker://1"}]},
        {"podIP": "10.0.0.1"},
        {
            "containerStatuses": [{"containerID": "docker://1"}],
            "initContainerStatuses": [{"containerID": "docker://0"}],
            "podIP": "10.0.0.1",
        },
    ],
)
def test_the_incarnation_changes_with_containers_and_address(status: dict[str, Any]) -> None:
    before = parse_pod(pod(containerStatuses=[{"containerID": "docker://1"}], podIP="10.0.0.1"))
    assert parse_pod(pod(**status)).incarnation != before.incarnation
