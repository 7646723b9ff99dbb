"""What may pass from outside: full matches only."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podagent.validate import is_cni_name, is_dns1123_label, is_dns1123_subdomain, is_interface_name, is_mac

NEVER = ["", "\n", "\0", " ", "a\n", "\na", "a;b", "a=b", "a/b", "../x", "a b", "é", "\ud800", "a\0"]


@pytest.mark.parametrize("text", NEVER)
def test_no_check_lets_through_what_could_mean_something_else_further_on(text: str) -> None:
    checks = (is_cni_name, is_dns1123_label, is_dns1123_subdomain, is_mac)
    assert not any(check(text) for check in checks)


@pytest.mark.parametrize("text", ["a", "a-b", "a.b", "0", "a" * 253, "data.example.com"])
def test_takes_names_of_objects(text: str) -> None:
    assert is_dns1123_subdomain(text)


@pytest.mark.parametrize("text", ["a" * 254, "-a", "a-", ".a", "a.", "a..b", "A", "a_b", "a.-b"])
def test_refuses_what_no_object_can_be_called(text: str) -> None:
    assert not is_dns1123_subdomain(text)


def test_a_namespace_is_a_single_label_of_at_most_63_characters() -> None:
    assert is_dns1123_label("a" * 63)
    assert not is_dns1123_label("a" * 64)
    assert not is_dns1123_label("a.b")


@pytest.mark.parametrize("text", ["02:00:00:00:00:01", "0A:bc:de:f0:12:34", "fe:ff:ff:ff:ff:ff"])
def test_takes_unicast_addresses_in_either_case(text: str) -> None:
    assert is_mac(text)


@pytest.mark.parametrize(
    "text",
    [
        "01:00:00:00:00:01",
        "ff:ff:ff:ff:ff:ff",
        "00:00:00:00:00:00",
        "02-00-00-00-00-01",
        "020000000001",
        "02:00:00:00:00",
        "02:00:00:00:00:01:02",
        "02:00:00:00:00:01\n",
        "02:00:00:00:00:01;A=b",
        "٠٢:00:00:00:00:01",
    ],
)
def test_refuses_what_a_link_cannot_carry(text: str) -> None:
    assert not is_mac(text)


@pytest.mark.parametrize("text", ["eth0", "net8d777f385d3d", "a" * 15, "é" * 7, "-", "..."])
def test_takes_interface_names_of_up_to_15_bytes(text: str) -> None:
    assert is_interface_name(text)


@pytest.mark.parametrize("text", ["", ".", "..", "a" * 16, "é" * 8, "a/b", "a:b", "a b", "a\u2003b", "a\0", "a\n"])
def test_refuses_interface_names_that_linux_or_cni_do(text: str) -> None:
    assert not is_interface_name(text)


@given(st.text())
def test_no_check_ever_raises(text: str) -> None:
    for check in (is_cni_name, is_dns1123_label, is_dns1123_subdomain, is_mac, is_interface_name):
        assert check(text) in (True, False)
