from __future__ import annotations

import pytest

from podagent import versions


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("", (0, 1, 0)), ("1", (1, 0, 0)), ("1.0", (1, 0, 0)), ("0.3.1", (0, 3, 1)), ("10.20.30", (10, 20, 30))],
)
def test_missing_parts_of_a_version_are_zero_and_none_at_all_is_0_1_0(text: str, numbers: tuple[int, int, int]) -> None:
    assert versions.parse(text) == numbers


@pytest.mark.parametrize(
    "text", ["1.0.0.0", "1..0", "v1.0", "1.x", " 1.0", "1.0\n", "-1.0", "+1", "1.٣", ".", "9" * 5000]
)
def test_refuses_what_is_not_a_version(text: str) -> None:
    with pytest.raises(ValueError, match="is not a CNI version"):
        versions.parse(text)


@pytest.mark.parametrize(
    ("text", "floor", "reached"),
    [("0.10.0", "0.4.0", True), ("0.4", "0.4.0", True), ("0.3.1", "0.4.0", False), ("", "0.1.0", True)],
)
def test_versions_are_ordered_as_numbers(text: str, floor: str, reached: bool) -> None:
    assert versions.at_least(text, floor) is reached


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


def test_one_unparsable_offer_spoils_the_choice() -> None:
    with pytest.raises(ValueError, match="'new'"):
        versions.choose("1.0.0", ["0.4.0", "new"])
