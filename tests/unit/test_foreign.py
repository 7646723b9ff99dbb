"""What others wrote is a value of the type asked for, or a ValueError; and it is quoted harmlessly."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podagent.foreign import excerpt, json_object, lenient, objects, optional, printable, require_kinds, required, shown

HOSTILE = "\x1b[2J\u202e\r\n\0\ud800"


def test_an_object_is_read_from_text_and_from_bytes() -> None:
    assert json_object('{"a": [1]}') == json_object(b' \n{"a": [1]}\n') == {"a": [1]}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "not JSON"),
        ("{} {}", "not JSON: Extra data"),
        (b"\xff", "not UTF-8 text"),
        ('{"a": 1e999}', "1e999 is too large a number"),
        ('{"a": Infinity}', "Infinity is not a JSON value"),
        ("[" * 100_000, "nested too deeply"),
        ("[]", "a JSON object is needed, not a list"),
        ("7", "a JSON object is needed, not a number"),
        ("1.5", "a JSON object is needed, not a number"),
        ("true", "a JSON object is needed, not a boolean"),
        ('""', "a JSON object is needed, not a string"),
        ("null", "a JSON object is needed, not null"),
    ],
)
def test_a_text_that_is_no_object_is_refused_with_what_is_wrong(text: str | bytes, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        json_object(text)


@pytest.mark.parametrize("source", [{}, {"key": None}])
def test_a_value_may_be_absent_or_null_unless_it_is_required(source: dict[str, Any]) -> None:
    assert optional(source, "key", str) is None
    assert objects(source, "key") == []
    require_kinds(source, {"key": str})
    with pytest.raises(ValueError, match="'key' is missing"):
        required(source, "key", str)


def test_a_value_of_the_kind_asked_for_is_given_though_it_is_empty() -> None:
    for source in ({"key": ""}, {"key": "text"}):
        for read in (optional, required, lenient):
            assert read(source, "key", str) == source["key"]


@pytest.mark.parametrize(
    ("value", "kind", "complaint"),
    [
        (True, int, "'key' must be a number, not a boolean"),
        (1, bool, "'key' must be a boolean, not a number"),
        ("1", int, "'key' must be a number, not a string"),
        ([], dict, "'key' must be an object, not a list"),
    ],
)
def test_a_value_of_another_kind_is_refused_by_every_strict_reader(value: Any, kind: type, complaint: str) -> None:
    for read in (optional, required):
        with pytest.raises(ValueError, match=complaint):
            read({"key": value}, "key", kind)
    with pytest.raises(ValueError, match=complaint):
        require_kinds({"key": value}, {"other": str, "key": kind})


def test_a_list_holds_objects_and_nothing_else() -> None:
    for entries in ([], [{"a": 1}, {}]):
        assert objects({"key": entries}, "key") == entries
    with pytest.raises(ValueError, match="'key' must hold objects, not null"):
        objects({"key": [{}, None]}, "key")
    with pytest.raises(ValueError, match="'key' must be a list, not an object"):
        objects({"key": {}}, "key")


@pytest.mark.parametrize("source", [None, [], "key", {}, {"key": 7}, {"key": None}])
def test_a_lenient_reader_takes_all_that_is_wrong_for_nothing(source: object) -> None:
    assert (lenient(source, "key", str), lenient(source, "key", dict)) == ("", {})


@pytest.mark.parametrize(
    ("quoted", "quote"),
    [
        (printable("Zürich 東京"), "Zürich 東京"),
        (printable("abcdef", 4), "abcd... (2 more characters)"),
        (excerpt(" one\n\ttwo "), "one two"),
        (excerpt(b"0123456789", 4), "...6789"),
        (excerpt("0123456789", 4, keep_end=False), "0123"),
        (shown(["a"]), "['a']"),
        (shown("a" * 100, 5), "'aaaa... (102 characters)"),
    ],
)
def test_quoted_words_are_readable_and_not_endless(quoted: str, quote: str) -> None:
    assert quoted == quote


@given(st.text())
def test_quoted_words_stay_on_one_printable_line(text: str) -> None:
    for quote in (printable(HOSTILE + text), excerpt(HOSTILE + text), shown(HOSTILE + text)):
        assert quote.isprintable()
