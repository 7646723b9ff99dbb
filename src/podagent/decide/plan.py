"""Decides what to do: desired state x recorded state -> actions. Pure: the decision table of the product is `TABLE`.

It never looks at events or history: the same two states always give the same actions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from podagent.decide.dialects.kaloom import Desired
from podagent.decide.order import detach_order
from podagent.model import Attachment, Phase, Record, Sandbox


class Want(Enum):
    """What the pod says about one interface."""

    WANTED = "wanted"
    UNWANTED = "not wanted"
    GONE = "pod gone"


class Found(Enum):
    """What the store says about one interface."""

    NONE = "none"
    ATTACHING = "ATTACHING"
    SAME = "ATTACHED, same"
    CHANGED = "ATTACHED, changed"
    DETACHING = "DETACHING"


class Step(Enum):
    """ATTACH adopts an interface that is there already; DETACH ends with the record forgotten."""

    ATTACH = "attach"
    DETACH = "detach"


_NOTHING: tuple[Step, ...] = ()
_ATTACH = (Step.ATTACH,)
_DETACH = (Step.DETACH,)
_AGAIN = (Step.DETACH, Step.ATTACH)

TABLE: Mapping[Want, Mapping[Found, tuple[Step, ...]]] = {
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


@dataclass(frozen=True, slots=True)
class Plan:
    """Detach these first, in this order, then attach those; an attach waits for the detach of its interface."""

    detach: tuple[Record, ...] = ()
    attach: tuple[Attachment, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.detach or self.attach)


def plan_pod(
    desired: Desired, records: Iterable[Record], sandbox: Sandbox | None, drifted: frozenset[str] = frozenset()
) -> Plan:
    """The plan for a pod that exists.

    Args:
        desired: what its annotation asks for.
        records: its records, any order.
        sandbox: its running sandbox; None when it has none at the moment: then what is wanted waits.
        drifted: interface names of ATTACHED records whose link has vanished from the network namespace.
    """
    recorded = {record.attachment.ifname: record for record in records}
    detach = _unwanted(desired, recorded)
    attach: list[Attachment] = []
    rebuilt_below: set[str] = set()  # networks whose lower layer is made anew: they cannot outlive it
    for attachment in desired.attachments if sandbox is not None else ():
        record = recorded.get(attachment.ifname)
        stale = attachment.ifname in drifted or attachment.network in rebuilt_below
        steps = TABLE[Want.WANTED][_found(record, attachment, sandbox, stale)]
        if record is not None and Step.DETACH in steps:
            detach.append(record)
            rebuilt_below.update(attachment.upper_layers)
        if Step.ATTACH in steps:
            attach.append(attachment)
    return Plan(tuple(detach_order(detach)), tuple(attach))


def _unwanted(desired: Desired, recorded: Mapping[str, Record]) -> list[Record]:
    kept = {attachment.ifname for attachment in desired.attachments} | desired.held
    return [
        record
        for ifname, record in recorded.items()
        if ifname not in kept and not desired.hold_all and TABLE[Want.UNWANTED][_phase(record)]
    ]


def plan_gone(records: Iterable[Record]) -> Plan:
    """The plan for a pod that is gone: everything that was recorded for it goes too."""
    return Plan(tuple(detach_order([r for r in records if TABLE[Want.GONE][_phase(r)]])))


def _found(record: Record | None, wanted: Attachment, sandbox: Sandbox | None, stale: bool) -> Found:
    if record is None:
        return Found.NONE
    phase = _phase(record)
    if phase is not Found.SAME:
        return phase
    # A sandbox that was restarted keeps its ID and has another network namespace.
    here = sandbox is not None and (record.sandbox_id, record.netns) == (sandbox.id, sandbox.netns)
    return Found.SAME if here and _same(record.attachment, wanted) and not stale else Found.CHANGED


def _phase(record: Record) -> Found:
    return _FOUND_BY_PHASE[record.phase]


def _same(recorded: Attachment, wanted: Attachment) -> bool:
    """Whether nothing changed that the interface was made from; layering only orders, it is not part of it."""
    return (recorded.network, recorded.namespace, recorded.mac, recorded.ips) == (
        wanted.network,
        wanted.namespace,
        wanted.mac,
        wanted.ips,
    )
