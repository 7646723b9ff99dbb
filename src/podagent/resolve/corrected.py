"""Decides whether DEL may use the current definition after it failed with the recorded one. Pure."""

from __future__ import annotations

from collections.abc import Callable

from podagent.netconf import NetConf


def instead_of(recorded: NetConf, today: Callable[[], NetConf | None], *, attached: bool) -> NetConf | None:
    """The configuration for a second DEL after it failed with the recorded one, None if there is none.

    A faulty configuration makes ADD fail and then every DEL. The current definition may fix that, but only if nothing
    was attached and the network name is the same: IPAM stores leases by that name, and DEL with another name would
    succeed without releasing them.

    Args:
        recorded: the configuration of ADD.
        today: reads the current one, None if there is none; called only if needed.
        attached: an ADD succeeded, the agent's or another one's.
    """
    if attached:
        return None
    corrected = today()
    return corrected if corrected is not None and corrected != recorded and corrected.name == recorded.name else None
