from __future__ import annotations

import errno
import os
import socket
from typing import NoReturn

import pytest

from podagent.errors import HostUnavailable
from podagent.host import links
from podagent.host.links import host_macs, link_names, process_of


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


@pytest.mark.parametrize("number", [errno.ENFILE, errno.EACCES, errno.EIO, errno.ENODEV], ids=errno.errorcode.get)
def test_only_the_addresses_of_a_link_that_is_gone_are_none(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def fail(*_: object, **__: object) -> NoReturn:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(links, "open", fail, raising=False)
    if number == errno.ENODEV:
        assert host_macs("lo") == frozenset()
    else:
        with pytest.raises(HostUnavailable, match="link lo"):
            host_macs("lo")
