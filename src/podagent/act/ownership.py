"""Which link of a pod is an attachment's. Pure.

The workload may rename its links, replace them, and choose their names, indexes and MAC addresses. It cannot change
which link of the host is the other end of which.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from podagent.foreign import Json, lenient
from podagent.model import Link, Record, Via
from podagent.resolve.reach import moves_links


def made_by_add(
    ifname: str, result: Json | None, before: Collection[int], links: Mapping[str, Link], ends: Mapping[int, int]
) -> Link | None:
    """The link that ADD has made, None if there is none.

    Args:
        ifname: the requested name.
        result: of ADD.
        before: indexes of the links before ADD.
        links: those after it.
        ends: of the host's links that the result names, the index by that of the other end.
    """
    named = links.get(ifname)
    if named is not None and (named.ifindex in ends or not ends):
        return named
    new = [link for link in links.values() if link.ifindex not in before]
    paired = next((link for link in new if link.ifindex in ends), None)
    if paired is not None or named is not None:
        return paired or named
    return next((link for link in new if link.mac and link.mac in _macs(result)), None)


def name_of(record: Record, links: Mapping[str, Link]) -> str:
    """The present name of the attachment's link, "" if it is not among these."""
    for name, link in links.items():
        if link.ifindex == record.ifindex:
            return name
    usual = record.attachment.ifname
    # It was moved, and came back with another index. A device of the host is not recognised by what a pod can imitate.
    came_back = usual in links and record.mac == links[usual].mac != "" and not may_move_to_host(record)
    return usual if came_back else ""


def may_move_to_host(record: Record) -> bool:
    """Whether DEL moves the link. The system plugin refuses links that it did not attach."""
    return record.via is Via.DELEGATE and moves_links(record.invocation.netconf)


def may_be_the_hosts(record: Record) -> bool:
    """Whether the link may be a device of the host. One with another end on the host never was."""
    return may_move_to_host(record) or (record.via is Via.SYSTEM and not record.peer)


def _macs(result: Json | None) -> set[str]:
    links = [each for each in lenient(result, "interfaces", list) if lenient(each, "sandbox", str)]
    return {lenient(each, "mac", str).lower() for each in links}
