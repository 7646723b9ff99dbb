"""Plans operations from desired and recorded state. Pure: `TABLE` is the decision table of the product.

Neither events nor history matter: the same two states always give the same plan.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import NamedTuple

from podagent.decide.desired import Desired
from podagent.decide.order import detach_order
from podagent.model import Attachment, Operation, Phase, Record, Sandbox


class Want(Enum):
    """Desired state of one interface."""

    WANTED = "wanted"
    UNWANTED = "not wanted"
    GONE = "pod gone"


class Found(Enum):
    """Recorded state of one interface."""

    NONE = "none"
    ATTACHING = "ATTACHING"
    SAME = "ATTACHED, same"
    CHANGED = "ATTACHED, changed"
    DETACHING = "DETACHING"


_NOTHING: tuple[Operation, ...] = ()
_ATTACH = (Operation.ATTACH,)
_DETACH = (Operation.DETACH,)
_AGAIN = (Operation.DETACH, Operation.ATTACH)

TABLE: Mapping[Want, Mapping[Found, tuple[Operation, ...]]] = {
    Want.WANTED: {
        Found.NONE: _ATTACH,
        Found.ATTACHING: _AGAIN,
        Found.SAME: _NOTHING,
        Found.CHANGED: _AGAIN,
        Found.DETACHING: _AGAIN,
    },
    Want.UNWANTED: {
        Found.NONE: _NOTHING,
        Found.ATTACHING: _DETACH,
        Found.SAME: _DETACH,
        Found.CHANGED: _DETACH,
        Found.DETACHING: _DETACH,
    },
    Want.GONE: {
        Found.NONE: _NOTHING,
        Found.ATTACHING: _DETACH,
        Found.SAME: _DETACH,
        Found.CHANGED: _DETACH,
        Found.DETACHING: _DETACH,
    },
}

_FOUND_BY_PHASE = {Phase.ATTACHING: Found.ATTACHING, Phase.DETACHING: Found.DETACHING, Phase.ATTACHED: Found.SAME}


class Step(NamedTuple):
    """One operation on one interface.

    Attributes:
        operation: ATTACH, which adopts an existing interface; or DETACH, which removes the record at the end.
        attachment: the attachment to make, or the recorded one for a DETACH.
        record: the record of a DETACH, None for an ATTACH.
        again: for a DETACH: the attachment that replaces it, None if there is none.
    """

    operation: Operation
    attachment: Attachment
    record: Record | None = None
    again: Attachment | None = None


Plan = tuple[Step, ...]
"""Steps in order. A failed DETACH cancels the ATTACH of the same interface."""


def plan_pod(
    desired: Desired,
    records: Iterable[Record],
    sandbox: Sandbox | None,
    drifted: frozenset[str] = frozenset(),
    ended: frozenset[str] = frozenset(),
) -> Plan:
    """The plan for an existing pod: detach first, upper layers before lower ones, then attach.

    Args:
        desired: the desired state of its annotations.
        records: its records, in any order.
        sandbox: its running sandbox, None if there is none: attaching then waits.
        ended: interface names of records whose sandbox has ended, if no other one runs.
        drifted: interface names of ATTACHED records whose link has vanished from the network namespace.
    """
    recorded = {record.attachment.ifname: record for record in records}
    detach = _unwanted(desired, recorded, ended)
    attach: dict[str, Attachment] = {}
    rebuilt_below: set[str] = set()  # interfaces whose lower layer is re-attached: they do not survive that
    for attachment in desired.attachments if sandbox is not None else ():
        record = recorded.get(attachment.ifname)
        stale = attachment.ifname in drifted or attachment.ifname in rebuilt_below
        operations = TABLE[Want.WANTED][_found(record, attachment, sandbox, stale)]
        if record is not None and Operation.DETACH in operations:
            detach.append(record)
            rebuilt_below.update(attachment.upper_layers)
        if Operation.ATTACH in operations:
            attach[attachment.ifname] = attachment
    return (*_detach_steps(detach, attach), *(Step(Operation.ATTACH, each) for each in attach.values()))


def _unwanted(desired: Desired, recorded: Mapping[str, Record], ended: frozenset[str]) -> list[Record]:
    kept = {attachment.ifname for attachment in desired.attachments} - ended | desired.held
    return [
        record
        for ifname, record in recorded.items()
        if ifname not in kept and not desired.hold_all and TABLE[Want.UNWANTED][_phase(record)]
    ]


def plan_gone(records: Iterable[Record]) -> Plan:
    """The plan for a pod that is gone: detach everything on record."""
    return _detach_steps([record for record in records if TABLE[Want.GONE][_phase(record)]], {})


def _detach_steps(records: list[Record], attach: Mapping[str, Attachment]) -> Plan:
    return tuple(
        Step(Operation.DETACH, record.attachment, record, attach.get(record.attachment.ifname))
        for record in detach_order(records)
    )


def _found(record: Record | None, wanted: Attachment, sandbox: Sandbox | None, stale: bool) -> Found:
    if record is None:
        return Found.NONE
    phase = _phase(record)
    if phase is not Found.SAME:
        return phase
    # A restarted sandbox keeps its ID, but gets a new network namespace.
    here = sandbox is not None and (record.sandbox_id, record.netns) == (sandbox.id, sandbox.netns)
    return Found.SAME if here and _same(record.attachment, wanted) and not stale else Found.CHANGED


def _phase(record: Record) -> Found:
    return _FOUND_BY_PHASE[record.phase]


def _same(recorded: Attachment, wanted: Attachment) -> bool:
    """Whether the interface needs no change. Layering affects only the order."""
    return recorded._replace(upper_layers=()) == wanted._replace(upper_layers=())
