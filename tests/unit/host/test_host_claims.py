from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from podagent.errors import StoreError
from podagent.host.claims import LinkClaims


class Host:
    """Links of a host by name, with their indexes."""

    def __init__(self, directory: Path) -> None:
        self.links = {"eth0": 2}
        self.fails = False
        self.claims = LinkClaims(str(directory / "links"), self.ifindex, self.create, self.delete)

    def delete(self, name: str) -> None:
        del self.links[name]

    def ifindex(self, name: str) -> int:
        if self.fails and name in self.links:
            raise OSError
        return self.links.get(name, 0)

    def create(self, name: str) -> None:
        if name in self.links:
            raise FileExistsError
        self.links[name] = len(self.links) + 10


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_a_bridge_belongs_to_whoever_made_it_first(host: Host) -> None:
    assert host.claims.make_bridge("tenant", "br0")
    assert not host.claims.make_bridge("other", "br0")
    assert (host.claims.owns("tenant", "br0"), host.claims.owns("other", "br0")) == (True, False)
    assert not host.claims.make_bridge("tenant", "eth0")
    assert not host.claims.owns("tenant", "eth0")


def test_a_claim_is_void_without_its_link_even_if_there_is_another_one_of_that_name(host: Host) -> None:
    host.claims.make_bridge("tenant", "br0")
    host.links["br0"] = 99
    assert not host.claims.owns("tenant", "br0")
    del host.links["br0"]
    assert not host.claims.owns("tenant", "br0")
    assert host.claims.make_bridge("other", "br0")


def test_void_claims_are_removed(host: Host, tmp_path: Path) -> None:
    for name in ("br0", "br1", "br2"):
        host.claims.make_bridge("tenant", name)
    del host.links["br0"], host.links["br1"]
    host.claims.make_bridge("tenant", "br3")
    assert len(list((tmp_path / "links").iterdir())) == 2
    assert host.claims.owns("tenant", "br2")


def test_a_link_without_a_maker_can_be_granted_once(host: Host) -> None:
    host.claims.grant("tenant", "eth0")
    host.claims.grant("other", "eth0")
    assert (host.claims.owns("tenant", "eth0"), host.claims.owns("other", "eth0")) == (True, False)


@pytest.mark.parametrize("name", ["", "..", "a/b", "x" * 16, "br 0", "\udcff"])
def test_a_name_that_no_link_can_have_belongs_to_nobody(host: Host, name: str) -> None:
    assert not host.claims.make_bridge("tenant", name)
    assert not host.claims.owns("tenant", name)


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"namespace": "tenant"}', '{"namespace": "tenant", "ifindex": "2"}']
)
def test_a_damaged_claim_proves_nothing(host: Host, tmp_path: Path, content: str) -> None:
    host.claims.make_bridge("tenant", "br0")
    (file,) = (tmp_path / "links").iterdir()
    file.write_text(content)
    assert not host.claims.owns("tenant", "br0")


def test_of_many_that_make_a_bridge_at_once_one_succeeds(host: Host) -> None:
    with ThreadPoolExecutor(8) as threads:
        made = threads.map(lambda number: host.claims.make_bridge(f"ns{number}", "br0"), range(8))
    assert sorted(made) == [False] * 7 + [True]


def test_an_unusable_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "links").write_text("")
    with pytest.raises(StoreError, match=str(tmp_path / "links")):
        Host(tmp_path).claims.owns("tenant", "br0")


def test_a_bridge_that_cannot_be_claimed_is_not_left_behind(host: Host) -> None:
    host.fails = True
    with pytest.raises(StoreError):
        host.claims.make_bridge("tenant", "br0")
    assert host.links == {"eth0": 2}
    host.fails = False
    assert host.claims.make_bridge("tenant", "br0")
