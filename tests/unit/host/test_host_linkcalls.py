"""Links of a namespace, as far as they can be seen and changed without root. The others are in tests/functional."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from podagent.errors import HostUnavailable
from podagent.host import hostends, linkcalls, links
from podagent.model import Link

NONE = (1 << 31) - 1
LO = 1


def test_the_loopback_link_has_its_index_and_addresses_and_no_mac_address() -> None:
    assert linkcalls.links()["lo"] == Link(LO)
    assert "127.0.0.1" in linkcalls.addresses("lo")
    assert ("::1" in linkcalls.addresses("lo")) == ("00000000000000000000000000000001" in inet6())
    assert linkcalls.addresses("no-such-link") == set()


def inet6() -> str:
    table = Path("/proc/self/net/if_inet6")
    return table.read_text() if table.exists() else ""


def test_a_link_that_is_renamed_while_it_is_looked_at_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linkcalls, "link_names", lambda: {"lo", "no-such-link"})
    assert set(linkcalls.links()) == {"lo"}


def test_a_link_that_does_not_exist_cannot_be_renamed_and_need_not_be_removed() -> None:
    with pytest.raises(OSError, match="No such device"):
        linkcalls.rename("no-such-link", "other")
    try:
        linkcalls.remove(NONE)
    except PermissionError:
        assert os.geteuid() != 0


def test_the_loopback_link_is_its_own_other_end_and_no_pods() -> None:
    assert (links.ifindex("lo"), links.other_end("lo")) == (LO, LO)
    assert hostends.far_ends(["lo", "no-such-link", "../lo"]) == {}
    assert "" not in hostends.macs()
    assert hostends.is_there(LO, ["lo"])
    assert not hostends.is_there(NONE, ["lo", "no-such-link"])


def test_the_end_of_a_pods_link_is_the_one_that_leads_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    ends = {"br0": (7, 7), "veth1": (8, 2), "veth2": (9, 3)}
    monkeypatch.setattr(hostends, "ifindex", lambda name: ends[name][0])
    monkeypatch.setattr(hostends, "other_end", lambda name: ends[name][1])
    assert hostends.far_ends(ends) == {2: 8, 3: 9}


def test_when_the_host_cannot_be_read_an_end_is_unknown_but_not_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> int:
        raise OSError(errno.ENFILE, os.strerror(errno.ENFILE))

    for function in ("ifindex", "other_end"):
        monkeypatch.setattr(hostends, function, fail)
    monkeypatch.setattr(linkcalls, "remove", fail)
    assert hostends.far_ends(["veth1"]) == {}
    monkeypatch.setattr(hostends, "mac", fail)
    with pytest.raises(HostUnavailable, match="links of the host"):
        hostends.macs()
    with pytest.raises(HostUnavailable, match="Too many open files"):
        hostends.is_there(8, ["veth1"])
    with pytest.raises(HostUnavailable, match="link 8 of the host"):
        hostends.remove(8)
