"""When an attachment ends although a plugin's DEL keeps failing. Pure.

DEL of a faulty definition, or of a device that is gone, can fail forever. Then the link and the address decide.
"""

from __future__ import annotations

from collections.abc import Sequence

from podagent.model import Unreleased


def may_end(unreleased: Sequence[Unreleased], *, attached: bool, again: bool, alone: bool) -> bool:
    """Whether an attachment without a link may end after a DEL that failed.

    Args:
        unreleased: the plugins whose DEL failed.
        attached: its ADD had succeeded.
        again: an earlier DEL had failed too.
        alone: in this DEL only plugins were run that had failed before.
    """
    if attached:
        return alone and not any(each.lease for each in unreleased)
    return again and not any(each.lease and each.ipam_ran for each in unreleased)


def remains(unreleased: Sequence[Unreleased], *, attached: bool) -> str:
    """What to know about an attachment that ended like this."""
    link = "the interface is gone" if attached else "no interface was ever made"
    leases = [f"an address may stay reserved {each.lease}" for each in unreleased if each.lease]
    return "; ".join([f"DEL keeps failing and is given up: {errors(unreleased)}", link, *leases])


def errors(unreleased: Sequence[Unreleased]) -> str:
    """The errors of all plugins."""
    return "; ".join(str(each.error) for each in unreleased)
