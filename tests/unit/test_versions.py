"""Versions of the CNI specification: read, ordered, chosen."""

from __future__ import annotations

import pytest

from podagent import versions


def test_missing_parts_of_a_version_are_zero_and_none_at_all_is_0_1_0() -> None:
    found = [versions.parse(text) for text in ("", "1", "1.0", "0.3.1", "10.20.30")]
    assert found == [(0, 1, 0), (1, 0, 0), (1, 0, 0), (0, 3, 1), (10, 20, 30)]


def test_a_text_that_is_no_version_is_refused_also_as_an_offer() -> None:
    for text in ("1.0.0.0", "1..0", "v1.0", "1.x", " 1.0", "1.0\n", "-1.0", "+1", "1.٣", ".", "9" * 5000):
        with pytest.raises(ValueError, match="is not a CNI version"):
            versions.parse(text)
        with pytest.raises(ValueError, match="is not a CNI version"):
            versions.choose("1.0.0", ["0.4.0", text])


def test_versions_are_ordered_as_numbers() -> None:
    floors = [("0.10.0", "0.4.0"), ("0.4", "0.4.0"), ("0.3.1", "0.4.0"), ("", "0.1.0")]
    assert [versions.at_least(text, floor) for text, floor in floors] == [True, True, False, True]


@pytest.mark.parametrize(
    ("declared", "offered", "chosen"),
    [
        ("0.4.0", ["0.3.1", "1.0.0"], "1.0.0"),
        ("1.1.0", ["0.3.1"], "1.1.0"),
        ("0.4.0", ["1.0.0", "1.2.0", "2.0.0"], "1.0.0"),
        ("", ["0.3.1", "1.0"], "1.0"),
        ("1.0", ["1.0.0"], "1.0.0"),
        ("0.4.0", [], "0.4.0"),
        ("0.4.0", ["1.1.1"], "0.4.0"),
        ("3.0.0", ["2.0.0"], "3.0.0"),
        ("", [], ""),
    ],
)
def test_chooses_the_highest_version_whose_rules_are_known(declared: str, offered: list[str], chosen: str) -> None:
    assert versions.choose(declared, offered) == chosen
