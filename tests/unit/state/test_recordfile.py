"""The format of a record on disk: a record comes back as it was written, and nothing else is taken for one."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from podagent.errors import StoreError, UnknownSchema
from podagent.foreign import Json
from podagent.model import Attachment, DefinitionRef, Invocation, NetnsRef, Phase, PodKey, Record, Via
from podagent.netconf import NetConf
from podagent.state.recordfile import SCHEMA, decode, encode
from unit.factory import invocation, nest, netconf, record

text = st.text(st.characters(), max_size=8)
number = st.integers(0, 2**63)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | text,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(text, inner, max_size=2),
    max_leaves=4,
)
json_objects = st.dictionaries(text, json_values, max_size=2)
texts = st.lists(text, max_size=2).map(tuple)
pairs = st.lists(st.tuples(text, text), max_size=2).map(tuple)
names = st.text(st.characters(exclude_characters="/"), min_size=1, max_size=12)
netconfs = st.builds(
    lambda more, version, name, plugins: NetConf({**more, "cniVersion": version, "name": name, "plugins": plugins}),
    json_objects,
    text,
    text,
    st.lists(json_objects, min_size=1, max_size=2),
)
unknown_fields = st.dictionaries(text.map("not known: {}".format), json_values, min_size=1, max_size=2)
PARTS = ("pod", "attachment", "netns", "invocation")
extras = st.builds(
    lambda fields, parts: fields | parts,
    st.just({}) | unknown_fields,
    st.dictionaries(st.sampled_from(PARTS), unknown_fields),
)
records = st.builds(
    Record,
    pod=st.builds(PodKey, text, text, text),
    attachment=st.builds(
        Attachment, st.builds(DefinitionRef, text, text, text), text, st.none() | text, json_objects, pairs, texts
    ),
    phase=st.sampled_from(Phase),
    via=st.sampled_from(Via),
    sandbox_id=text,
    netns=st.builds(NetnsRef, text, number, number),
    boot_id=text,
    sequence=number,
    invocation=st.builds(
        Invocation,
        netconfs,
        texts,
        pairs,
        json_objects,
        st.none() | st.builds(DefinitionRef, text, names | st.just(""), names),
    ),
    result=st.none() | json_objects,
    ifindex=number,
    adopted=st.booleans(),
    static=st.booleans(),
    extra=extras,
)


def sealed(body: Any, schema: object = SCHEMA) -> bytes:
    """A file with a checksum that fits."""
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":")).encode()
    return json.dumps({"schema": schema, "sha256": hashlib.sha256(canonical).hexdigest(), "record": body}).encode()


def body(of: Record | None = None) -> dict[str, Any]:
    """The fields of a record's file."""
    fields: dict[str, Any] = json.loads(encode(of or record("red")))["record"]
    return fields


@settings(deadline=None)
@given(records)
def test_every_record_survives_the_way_to_disk_and_back(made: Record) -> None:
    assert decode(encode(made)) == made


def test_the_file_is_one_line_of_json_whose_order_of_keys_and_white_space_do_not_matter() -> None:
    content = encode(record("red"))
    assert content.index(b"\n") == len(content) - 1
    document = json.loads(content)
    assert set(document) == {"schema", "sha256", "record"}
    assert document["record"]["attachment"]["network"] == "red"
    shuffled = json.dumps(dict(reversed(document.items())), indent=4).encode()
    assert decode(shuffled) == record("red")


@pytest.mark.parametrize("schema", [2, 99, 10**400])
def test_the_schema_of_a_newer_version_is_refused_by_its_number_whatever_form_its_records_have(schema: int) -> None:
    others: list[Json] = [{}, {"sha256": None, "record": [1]}, {"sha512": "", "attachment": {}}]
    for content in (sealed(body(), schema), *(json.dumps({"schema": schema} | other).encode() for other in others)):
        with pytest.raises(UnknownSchema, match=r"schema \d+.* is not known to this version, which reads up to 1$"):
            decode(content)


@pytest.mark.parametrize("schema", [0, -1, "1", "2", None, 1.5, 2.0, True, [], {}])
def test_a_schema_that_no_version_writes_is_damage(schema: object) -> None:
    with pytest.raises(StoreError, match="schema") as raised:
        decode(sealed(body(), schema))
    assert not isinstance(raised.value, UnknownSchema)


FIELDS = [(field,) for field in body()] + [(part, field) for part in PARTS for field in body()[part]]
MAY_BE_MISSING = {("result",), ("attachment", "namespace"), ("attachment", "mac"), ("invocation", "api")}
MAY_BE_MISSING |= {("peer",), ("mac",), ("left",), ("failures",)}  # unknown to 0.4.0
# Only 0.3.0 reads these; without the API of the network's definition it is 0.3.0 that wrote the record.
NOT_READ = {("attachment", "ips"), ("attachment", "upperLayers"), ("attachment", "api")}


def part_of(whole: dict[str, Any], field: tuple[str, ...]) -> dict[str, Any]:
    """The object that the field is in."""
    part: dict[str, Any] = whole[field[0]] if len(field) > 1 else whole
    return part


@pytest.mark.parametrize("missing", sorted({*FIELDS} - MAY_BE_MISSING - NOT_READ), ids=".".join)
def test_a_record_without_one_of_its_fields_is_refused(missing: tuple[str, ...]) -> None:
    damaged = body()
    del part_of(damaged, missing)[missing[-1]]
    with pytest.raises(StoreError, match=f"'{missing[-1]}' is missing"):
        decode(sealed(damaged))


@pytest.mark.parametrize("field", sorted({*FIELDS} - NOT_READ), ids=".".join)
@pytest.mark.parametrize("value", [[{"x": 1}], 1.5])
def test_no_field_is_taken_for_something_of_another_type(field: tuple[str, ...], value: object) -> None:
    damaged = body()
    part_of(damaged, field)[field[-1]] = value
    with pytest.raises(StoreError, match=f"'{field[-1]}' must "):
        decode(sealed(damaged))


@pytest.mark.parametrize(
    "change",
    [
        {"phase": "ATTACHED "},
        {"via": "kactus"},
        {"sequence": True},
        {"adopted": 1},
        {"ifindex": float("inf")},
        {"ifindex": float("nan")},
        {"invocation": {"args": [["a"]]}},
        {"invocation": {"args": [["a", 1]]}},
        {"invocation": {"path": [None]}},
        {"invocation": {"netconf": {}}},
        {"invocation": {"netconf": {"cniVersion": "1.0.0", "name": "red"}}},
        {"invocation": {"netconf": {"cniVersion": "1.0.0", "name": "red", "plugins": []}}},
        {"invocation": {"netconf": {"cniVersion": "1.0.0", "name": "red", "plugins": [7]}}},
    ],
)
def test_a_field_that_makes_no_sense_is_refused(change: dict[str, Any]) -> None:
    whole = body()
    changed = {key: whole[key] | value if isinstance(value, dict) else value for key, value in change.items()}
    with pytest.raises(StoreError, match="not a record: "):
        decode(sealed(whole | changed))


def added_to(known: dict[str, Any]) -> dict[str, Any]:
    """The record of a newer version, which knows more of everything."""
    parts = {part: known[part] | {"since-then": {"of": part}} for part in PARTS}
    return known | parts | {"since-then": [1, {"two": None}]}


def test_fields_that_a_newer_version_added_are_kept_also_beside_fields_that_change() -> None:
    newer = added_to(body())
    read = decode(sealed(newer))
    assert read == record("red")._replace(extra=read.extra)
    assert body(read) == newer
    changed = read._replace(phase=Phase.DETACHING, netns=NetnsRef("/proc/8/ns/net", 8, 8))
    assert body(changed) == added_to(body(changed._replace(extra={})))
    assert decode(encode(changed)) == changed


def test_fields_of_this_version_are_never_taken_from_those_that_were_added() -> None:
    made = record("red", extra={"phase": "DETACHING", "pod": {"name": "another", "since-then": 1}})
    read = decode(encode(made))
    assert (read.phase, read.pod) == (Phase.ATTACHED, record("red").pod)
    assert read.extra == {"pod": {"since-then": 1}}


@pytest.mark.parametrize("depth", [500, 900, *range(950, 1000), *range(1480, 1500), *range(9980, 10_000), 50_000])
def test_deep_nesting_is_an_error_of_the_store_wherever_it_strikes(depth: int) -> None:
    deep = record("red", invocation=invocation("red", netconf=NetConf({**netconf("red").json, "x": nest(depth)})))
    with pytest.raises(StoreError, match=r"^not a record(: nested too deeply| but a list)$"):
        decode(b"[" * depth + b"]" * depth)
    try:
        written = encode(deep)
    except StoreError as error:
        assert str(error) == "the network configuration of red is nested too deeply"  # noqa: PT017 - it may be written
    else:
        assert decode(written).sequence == deep.sequence, "a record that could be written cannot be read"
