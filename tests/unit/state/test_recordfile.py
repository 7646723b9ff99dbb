"""The format of a record on disk: what goes in comes out, and nothing else does."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from factory import invocation, record
from hypothesis import given, settings
from hypothesis import strategies as st

from podagent.errors import StoreError
from podagent.model import Attachment, Invocation, NetnsRef, Phase, PodKey, Record, Via
from podagent.state.recordfile import SCHEMA, decode, encode

text = st.text(st.characters(), max_size=12)
number = st.integers(0, 2**63)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=8,
)
json_objects = st.dictionaries(text, json_values, max_size=4)
texts = st.lists(text, max_size=3).map(tuple)
pairs = st.lists(st.tuples(text, text), max_size=3).map(tuple)
records = st.builds(
    Record,
    pod=st.builds(PodKey, text, text, text),
    attachment=st.builds(Attachment, text, text, st.none() | text, st.none() | text, texts, texts),
    phase=st.sampled_from(Phase),
    via=st.sampled_from(Via),
    sandbox_id=text,
    netns=st.builds(NetnsRef, text, number, number),
    boot_id=text,
    sequence=number,
    invocation=st.builds(Invocation, json_objects, texts, pairs, json_objects, text),
    result=st.none() | json_objects,
    ifindex=number,
    adopted=st.booleans(),
    static=st.booleans(),
)


def sealed(body: Any, schema: object = SCHEMA) -> bytes:
    """A file with a checksum that fits."""
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":")).encode()
    return json.dumps({"schema": schema, "sha256": hashlib.sha256(canonical).hexdigest(), "record": body}).encode()


def body() -> dict[str, Any]:
    return json.loads(encode(record("red")))["record"]  # type: ignore[no-any-return]


@settings(deadline=None)
@given(records)
def test_every_record_survives_the_way_to_disk_and_back(made: Record) -> None:
    assert decode(encode(made)) == made


def test_the_file_is_one_line_of_json_with_schema_and_checksum() -> None:
    content = encode(record("red"))
    assert content.count(b"\n") == 1
    assert content.endswith(b"\n")
    assert set(json.loads(content)) == {"schema", "sha256", "record"}
    assert json.loads(content)["record"]["attachment"]["network"] == "red"


def test_the_order_of_keys_and_white_space_are_no_damage() -> None:
    document = json.loads(encode(record("red")))
    shuffled = json.dumps(dict(reversed(document.items())), indent=4).encode()
    assert decode(shuffled) == record("red")


@given(st.data())
def test_a_changed_byte_is_never_taken_for_a_record_of_something_else(data: st.DataObject) -> None:
    content = bytearray(encode(record("red")))
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] = data.draw(st.integers(0, 255))
    with contextlib.suppress(StoreError):
        assert decode(bytes(content)) == record("red")


@given(st.integers(0, len(encode(record("red"))) - 2))
def test_a_truncated_file_is_refused(length: int) -> None:
    with pytest.raises(StoreError):
        decode(encode(record("red"))[:length])


@settings(deadline=None)
@given(st.binary() | json_values.map(lambda value: json.dumps(value).encode()) | json_values.map(sealed))
def test_foreign_content_is_refused(content: bytes) -> None:
    with pytest.raises(StoreError):
        decode(content)


@pytest.mark.parametrize("schema", [0, 2, "1", None, 1.5, []])
def test_a_schema_of_another_version_is_refused_by_its_number(schema: object) -> None:
    with pytest.raises(StoreError, match="schema"):
        decode(sealed(body(), schema))


@pytest.mark.parametrize("missing", sorted(body()))
def test_a_record_without_one_of_its_fields_is_refused(missing: str) -> None:
    damaged = body()
    del damaged[missing]
    with pytest.raises(StoreError, match="missing"):
        decode(sealed(damaged))


@pytest.mark.parametrize(
    "change",
    [
        {"phase": "ATTACHED "},
        {"via": "kactus"},
        {"sequence": "one"},
        {"sequence": None},
        {"ifindex": float("inf")},
        {"ifindex": float("nan")},
        {"pod": []},
        {"attachment": None},
        {"netns": {"path": "/x", "inode": {}, "started": 0}},
        {"invocation": {"netconf": 7, "path": [], "args": [], "capabilityArgs": {}, "definition": ""}},
        {"invocation": {"netconf": {}, "path": [], "args": [["a"]], "capabilityArgs": {}, "definition": ""}},
    ],
)
def test_a_field_of_another_type_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(StoreError):
        decode(sealed(body() | change))


@pytest.mark.parametrize("depth", [500, 900, *range(950, 1000), *range(1480, 1500), *range(9980, 10_000), 50_000])
def test_deep_nesting_is_an_error_of_the_store_wherever_it_strikes(depth: int) -> None:
    nested: Any = []
    for _ in range(depth):
        nested = [nested]
    deep = record("red", invocation=invocation("red", netconf={"plugins": [], "x": nested}))
    told = [_complaint(lambda: encode(deep)), _complaint(lambda: decode(b"[" * depth + b"]" * depth))]
    assert told[0] in ("", "the network configuration of red is nested too deeply")
    assert "RecursionError" in told[1] or "TypeError" in told[1]
    if not told[0]:
        assert decode(encode(deep)).sequence == deep.sequence, "what could be written can be read"


def _complaint(step: Callable[[], object]) -> str:
    try:
        step()
    except StoreError as error:
        return str(error)
    return ""
