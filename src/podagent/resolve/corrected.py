"""When today's definition of a network may clean up what the recorded one cannot. Pure but for the reading."""

from __future__ import annotations

from collections.abc import Callable

from podagent.netconf import NetConf


def instead_of(recorded: NetConf, today: Callable[[], NetConf | None], *, attached: bool) -> NetConf | None:
    """The configuration to try DEL with, after it failed with the recorded one; None if there is no other.

    A faulty configuration fails ADD and then DEL, every time. Only for what was never attached, and only if the network
    kept its name, under which IPAM keeps its leases: else DEL could succeed and release nothing.

    Args:
        recorded: what ADD was run with.
        today: gives what it would be run with now, None if there is none; not asked in vain.
        attached: whether ADD succeeded, or somebody else's did.
    """
    if attached:
        return None
    corrected = today()
    return corrected if corrected is not None and corrected != recorded and corrected.name == recorded.name else None
