from __future__ import annotations

from podagent.host.links import host_macs


def test_a_link_that_is_not_there_or_cannot_be_has_no_addresses() -> None:
    assert host_macs("nowhere0") == host_macs("../../../etc") == frozenset()


def test_a_link_has_its_own_address() -> None:
    assert host_macs("lo") == {"00:00:00:00:00:00"}
