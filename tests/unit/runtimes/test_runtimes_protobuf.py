from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podagent.model import PodKey
from podagent.runtimes import crimessages
from podagent.runtimes.crimessages import ListedSandbox, SandboxStatus
from podagent.runtimes.protobuf import MOST_FIELDS, Fields, message, number, text
from unit.runtimes import reference

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
MAPS = st.dictionaries(TEXTS, TEXTS, max_size=3)
NUMBERS = st.integers(-(2**31), 2**31 - 1)
METADATA = st.builds(
    lambda **values: reference.message("PodSandboxMetadata", **values),
    namespace=TEXTS,
    name=TEXTS,
    uid=TEXTS,
    attempt=st.integers(0, 9),
)
COMMON: Any = {
    "id": TEXTS, "metadata": METADATA, "state": st.sampled_from([0, 1, 2]),
    "created_at": st.integers(-(2**63), 2**63 - 1), "labels": MAPS, "annotations": MAPS, "runtime_handler": TEXTS,
}  # fmt: skip
SANDBOXES = st.builds(lambda **values: reference.message("PodSandbox", **values), **COMMON)


def pod(metadata: Any) -> PodKey:
    return PodKey(metadata.namespace, metadata.name, metadata.uid)


@given(st.lists(SANDBOXES, max_size=4))
def test_a_list_is_read_as_googles_library_writes_it(items: list[Any]) -> None:
    response = reference.message("ListPodSandboxResponse", items=items)
    assert crimessages.listed_sandboxes(response.SerializeToString()) == [
        ListedSandbox(item.id, pod(item.metadata), item.state == 0, item.created_at) for item in items
    ]


@given(st.fixed_dictionaries(COMMON), NUMBERS, MAPS, st.booleans())
def test_a_status_is_read_as_googles_library_writes_it(
    common: dict[str, Any], network: int, info: dict[str, str], in_parts: bool
) -> None:
    options = reference.message("NamespaceOption", network=network, pid=1, target_id="x")
    namespace = reference.message("Namespace", options=options)
    linux = reference.message("LinuxPodSandboxStatus", namespaces=namespace)
    status = reference.message("PodSandboxStatus", **common, linux=linux)
    response = reference.message("PodSandboxStatusResponse", status=status, info={**info, "info": '{"pid": 7}'})
    written = response.SerializeToString()
    if in_parts:  # the parts of a message add up
        written = reference.message("PodSandboxStatusResponse", status={"id": "another"}).SerializeToString() + written
        status.id = status.id or "another"
    key, handler = pod(status.metadata), status.runtime_handler
    expected = SandboxStatus(status.id, key, status.state == 0, network == 2, handler, {"pid": 7})
    assert crimessages.sandbox_status(written) == expected


def test_a_sandbox_is_read_however_many_annotations_its_tenant_gives_it() -> None:
    annotation = {"annotations": {format(each, "x"): "" for each in range(MOST_FIELDS + 1)}}
    listed = [reference.message("PodSandbox", id="a", **annotation), reference.message("PodSandbox", id="b")]
    response = reference.message("ListPodSandboxResponse", items=listed).SerializeToString()
    assert [each.id for each in crimessages.listed_sandboxes(response)] == ["a", "b"]
    status = reference.message("PodSandboxStatus", id="a", runtime_handler="kata", **annotation)
    response = reference.message("PodSandboxStatusResponse", status=status).SerializeToString()
    assert crimessages.sandbox_status(response).handler == "kata"


@given(TEXTS)
def test_requests_are_those_that_googles_library_writes(value: str) -> None:
    label = {"label_selector": {crimessages.UID_LABEL: value}} if value else {}
    wanted = reference.message("PodSandboxFilter", state=reference.message("PodSandboxStateValue", state=0), **label)
    expected = reference.message("ListPodSandboxRequest", filter=wanted)
    read = reference.message("ListPodSandboxRequest").FromString(crimessages.list_request(value))
    assert read == expected
    assert read.filter.HasField("state")
    asked = reference.message("PodSandboxStatusRequest").FromString(crimessages.status_request(value))
    assert (asked.pod_sandbox_id, asked.verbose) == (value, True)
    named = reference.message("VersionResponse", version="0.1.0", runtime_name=value, runtime_version="2")
    assert crimessages.runtime_name(named.SerializeToString()) == value


@given(st.integers(1, 2**29 - 1), st.integers(0, 2**63 - 1), st.binary(max_size=300))
def test_what_is_written_is_read_again(field: int, value: int, content: bytes) -> None:
    other = field + 1 if field < 2**29 - 1 else 1
    fields = Fields(number(field, value) + message(other, content) + b"\x0d1234\x09" + b"12345678")
    assert field == 1 or fields.number(field) == value
    assert other == 1 or fields._all_bytes(other) == [content]


@pytest.mark.parametrize(
    ("malformed", "fault"),
    {
        b"\x0a": "a number ends beyond",
        b"\x0a\x05abcd": "field 1 ends beyond",
        b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01": "field 1 ends beyond",
        b"\x0a" + b"\xff" * 10: "more than 64 bits",
        b"\x0a" + b"\xff" * 9 + b"\x02": "more than 64 bits",
        b"\x0d123": "field 1 ends beyond",
        b"\x0b\x0c": "unknown kind 3",
        b"\x00\x00": "no field has the number 0",
        b"\xf8\xff\xff\xff\xff\x01\x00": "no field has the number",
        b"\x0a\x00" * (MOST_FIELDS + 1): "more than 65536 fields",
    }.items(),
)
def test_a_malformed_message_is_refused(malformed: bytes, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        Fields(malformed)


def test_a_field_of_the_wrong_kind_is_refused_when_it_is_asked_for() -> None:
    fields = Fields(number(1, 7) + text(2, "x") + message(3, b"\xff") + message(4, b"\xff\xff"))
    with pytest.raises(ValueError, match="field 1 is no text"):
        fields.text(1)
    with pytest.raises(ValueError, match="field 2 is no number"):
        fields.number(2)
    for read in (fields.text, fields.message, lambda field: [*fields.messages(field)], fields.map):
        with pytest.raises(ValueError):  # noqa: PT011 - not UTF-8, or not a message
            read(4 if read == fields.text else 3)
    assert (fields.number(9), fields.text(9), [*fields.messages(9)], fields.map(9)) == (0, "", [], {})
    assert fields.message(9).text(1) == ""
