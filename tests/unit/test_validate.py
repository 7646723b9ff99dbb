"""What may pass from outside: full matches only."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podagent.validate import is_cni_name, is_dns1123_label, is_dns1123_subdomain, is_interface_name, is_mac

CHECKS = (is_cni_name, is_dns1123_label, is_dns1123_subdomain, is_mac)
HOSTILE = ["", "\n", "\0", " ", "a\n", "\na", "a;b", "a=b", "a/b", "../x", "a b", "é", "\ud800", "a\0"]


def test_no_check_lets_through_what_could_mean_something_else_further_on() -> None:
    assert [(check, text) for check in CHECKS for text in HOSTILE if check(text)] == []


@pytest.mark.parametrize(
    ("check", "taken", "refused"),
    [
        (
            is_dns1123_subdomain,
            ["a", "a-b", "a.b", "0", "a" * 253, "data.example.com"],
            ["a" * 254, "-a", "a-", ".a", "a.", "a..b", "A", "a_b", "a.-b"],
        ),
        (is_dns1123_label, ["a" * 63], ["a" * 64, "a.b"]),
        (
            is_mac,
            ["02:00:00:00:00:01", "0A:bc:de:f0:12:34", "fe:ff:ff:ff:ff:ff"],
            [
                *("01:00:00:00:00:01", "ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00", "02-00-00-00-00-01", "020000000001"),
                *("02:00:00:00:00", "02:00:00:00:00:01:02", "02:00:00:00:00:01\n", "02:00:00:00:00:01;A=b"),
                "٠٢:00:00:00:00:01",
            ],
        ),
        (
            is_interface_name,
            ["eth0", "net8d777f385d3d", "a" * 15, "é" * 7, "-", "..."],
            ["", ".", "..", "a" * 16, "é" * 8, "a/b", "a:b", "a b", "a\u2003b", "a\0", "a\n"],
        ),
    ],
)
def test_a_check_takes_what_may_be_called_so_and_refuses_the_rest(
    check: Callable[[str], bool], taken: list[str], refused: list[str]
) -> None:
    assert [text for text in taken if not check(text)] == []
    assert [text for text in refused if check(text)] == []


@given(st.text())
def test_no_check_ever_raises(text: str) -> None:
    for check in (*CHECKS, is_interface_name):
        assert check(text) in (True, False)
