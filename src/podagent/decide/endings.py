"""When an attachment ends although a plugin's DEL keeps failing. Pure.

DEL of a faulty definition, or of a device that is gone, can fail forever. Then the link and the address decide.
"""

from __future__ import annotations

from collections.abc import Sequence

from podagent.errors import CniError, PluginNotRun, PluginTimeout
from podagent.model import Unreleased

# With the usual pauses, this takes a quarter of a minute.
_FAILURES_OF_ATTACHED = 4
_TRY_AGAIN_LATER = 11


def may_end(unreleased: Sequence[Unreleased], *, attached: bool, failures: int, alone: bool) -> bool:
    """Whether an attachment without a link may end after a DEL that failed.

    Args:
        unreleased: the plugins whose DEL failed.
        attached: its ADD had succeeded.
        failures: DELs that had failed before.
        alone: in this DEL only plugins were run that had failed before.
    """
    if any(_may_pass(each.error) for each in unreleased):
        return False
    if attached:
        return alone and failures >= _FAILURES_OF_ATTACHED and not any(each.lease for each in unreleased)
    return failures > 0 and not any(each.lease and each.ipam_ran for each in unreleased)


def _may_pass(error: CniError) -> bool:
    """Whether the plugin, or its time-out, says so; or it is missing, as while a package is replaced."""
    return error.code == _TRY_AGAIN_LATER or isinstance(error, (PluginNotRun, PluginTimeout))


def remains(unreleased: Sequence[Unreleased], *, attached: bool) -> str:
    """What to know about an attachment that ended like this."""
    link = "the interface is gone" if attached else "no interface was ever made"
    leases = [f"an address may stay reserved {each.lease}" for each in unreleased if each.lease]
    return "; ".join([f"DEL keeps failing and is given up: {_texts(unreleased)}", link, *leases])


def error_of(unreleased: Sequence[Unreleased]) -> CniError:
    """The error of a DEL in which these plugins failed; there is at least one."""
    return unreleased[0].error if len(unreleased) == 1 else CniError(_texts(unreleased))


def _texts(unreleased: Sequence[Unreleased]) -> str:
    return "; ".join(str(each.error) for each in unreleased)
