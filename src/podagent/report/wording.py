"""Wording of outcomes, shared by the journal and the Events. Pure."""

from __future__ import annotations

from podagent.act.outcomes import Outcome, Result
from podagent.errors import NotUndone, PodagentError
from podagent.model import Operation, result_addresses

_DONE = {Result.INHERITED: "took over"}


def described(outcome: Outcome) -> str:
    """Describes the outcome, without the pod."""
    attachment = outcome.attachment
    if attachment is None:
        return error_text(outcome.error)
    if outcome.result is Result.DRIFTED:
        repair = f"is not attached again yet: {error_text(outcome.error)}" if outcome.error else "is attached again"
        return f"interface {attachment.ifname} vanished from the pod and {repair}"
    about = f"network {attachment.network}"
    if outcome.result is Result.ATTACHED:
        about += f", {' '.join(result_addresses(outcome.record and outcome.record.result)) or 'no address'}"
    return f"{_DONE.get(outcome.result, outcome.result.value)} {attachment.ifname} ({about})"


def attempted(outcome: Outcome) -> str:
    """Describes a failed operation."""
    if outcome.operation is Operation.VERIFY:
        return "checking the interfaces"
    if outcome.attachment is None:
        return "attaching networks"
    network, ifname = outcome.attachment.network, outcome.attachment.ifname
    if outcome.operation is Operation.ATTACH:
        return f"attaching network {network} as {ifname}"
    return f"detaching {ifname} (network {network})"


def error_text(error: Exception | None) -> str:
    """The error text for users; errors other than PodagentError are marked as internal."""
    if not isinstance(error, PodagentError):
        return f"internal error: {error!r}"
    undone = error.__cause__
    return f"{error}; {undone}" if isinstance(undone, NotUndone) else str(error)
