"""Devices of the host that the ADD of a delegate has moved into the pod, for the rollback of one that failed.

Such a delegate's DEL moves any link of the name to the host, also one that the workload has made meanwhile.
"""

from __future__ import annotations

from podagent.errors import HostUnavailable, PodagentError
from podagent.kactus.failure import TRY_AGAIN_LATER, Failure
from podagent.kactus.links import links_by_entering


def host_macs() -> frozenset[str]:
    """The MAC addresses of the host's links. Raises Failure (code 11)."""
    from podagent.host import hostends  # noqa: PLC0415 - for few delegates

    try:
        return hostends.macs()
    except HostUnavailable as fault:
        raise Failure(TRY_AGAIN_LATER, str(fault)) from None


def may_be_moved(netns: str, ifname: str, before: frozenset[str]) -> bool:
    """Whether the pod's link of this name may be a device that the host had before. Raises Failure (code 11)."""
    try:
        link = links_by_entering(netns).get(ifname)
    except (OSError, PodagentError) as fault:
        raise Failure(TRY_AGAIN_LATER, str(fault)) from None
    return link is None or link.mac in before - host_macs()
