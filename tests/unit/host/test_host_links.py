from __future__ import annotations

import errno
import os
import socket

import pytest

from podagent.errors import NetnsUnavailable
from podagent.host.links import host_macs, link_names, process_of
from unit.failing import FailingCalls


def test_only_a_path_through_proc_names_a_process() -> None:
    assert process_of("/proc/7/ns/net") == "7"
    for path in ("self/ns/net", "7/ns/net/", "/ns/net", "\u0667/ns/net", "7/ns/net\n"):
        assert process_of(f"/proc/{path}") == ""
    assert (process_of("/run/netns/x"), process_of("")) == ("", "")


def test_the_names_are_those_that_the_kernel_gives() -> None:
    assert link_names() == link_names(str(os.getpid())) == {name for _, name in socket.if_nameindex()}


def test_a_process_that_is_gone_is_an_error_and_not_an_empty_answer() -> None:
    with pytest.raises(OSError, match="999999999"):
        link_names("999999999")


def test_a_link_has_its_own_address_and_one_that_is_not_there_or_cannot_be_has_none() -> None:
    assert host_macs("lo") == {"00:00:00:00:00:00"}
    assert host_macs("nowhere0") == host_macs("../../../etc") == frozenset()


@pytest.mark.parametrize("call", ["listdir /sys/class/net/lo/brif", "open /sys/class/net/lo/address"])
def test_a_link_whose_address_cannot_be_read_is_an_error(monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    calls = FailingCalls(monkeypatch, call.split()[1])
    calls.fail(0, errno.ENFILE)
    with pytest.raises(NetnsUnavailable, match="link lo of the host"):
        host_macs("lo")
    assert calls.made == [call]
