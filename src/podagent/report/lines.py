"""Reports outcomes as journal entries with structured fields."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from podagent.act.outcomes import Outcome, PodState, Result
from podagent.errors import NotYet, PodagentError
from podagent.messages import Message
from podagent.model import Operation, PodKey
from podagent.report.wording import attempted, described, error_text

_log = logging.getLogger("podagent")

_PREPOSITIONS = {Operation.ATTACH: "to", Operation.DETACH: "from"}
_EXPLAINED = {Operation.ATTACH: Message.ATTACH_FAILED.field, Operation.DETACH: Message.DETACH_FAILED.field}
_REMARKED = {Operation.ATTACH: Message.UNSEEN.field, Operation.DETACH: Message.DETACHED_OTHERWISE.field}
_COMMANDS = {Operation.ATTACH: "ADD", Operation.DETACH: "DEL"}


class JournalLines:
    """A sink. Repeats an unchanged outcome only for failed attempts, at growing intervals."""

    def report(self, outcome: Outcome) -> None:
        _LINES[outcome.result](outcome)

    def settled(self, key: PodKey, state: PodState) -> None:
        again = "no further pass" if state.look_in is None else f"next pass in {state.look_in:.1f} s"
        _log.debug("pod %s: %d interfaces recorded, %s", key, len(state.records), again)


def _changed(outcome: Outcome) -> None:
    fields = _fields(outcome, DURATION_MS=f"{outcome.seconds * 1000:.1f}")
    where = "to" if outcome.operation is Operation.ATTACH else "from"
    done = f"{described(outcome)} {where} pod {outcome.key} in {outcome.seconds * 1000:.0f} ms"
    if outcome.remark and not outcome.news:
        return
    if outcome.remark:
        _log.warning("%s; %s", done, outcome.remark, extra=fields | _REMARKED[outcome.operation])
    else:
        _log.info("%s", done, extra=fields)


def _adopted(outcome: Outcome) -> None:
    fields = _fields(outcome, CNI_COMMAND=None)
    _log.info("%s of pod %s: it was there already", described(outcome), outcome.key, extra=fields)


def _inherited(outcome: Outcome) -> None:
    fields = _fields(outcome) | Message.INHERITED.field
    _log.info("%s of pod %s from the former podagent", described(outcome), outcome.key, extra=fields)


def _drifted(outcome: Outcome) -> None:
    fields = _fields(outcome) | Message.DRIFTED.field
    _log.warning("pod %s: %s", outcome.key, described(outcome), extra=fields)


def _invalid(outcome: Outcome) -> None:
    fields = _fields(outcome) | Message.ANNOTATION_INVALID.field
    _log.error("pod %s: %s", outcome.key, error_text(outcome.error), extra=fields)


def _waiting(outcome: Outcome) -> None:
    if outcome.news:
        level = logging.DEBUG if isinstance(outcome.error, NotYet) else logging.WARNING
        unmet = Message.GONE_UNCONFIRMED if outcome.operation is Operation.CONFIRM else Message.SANDBOX_MISSING
        fields = _pod_fields(outcome.key, RESULT=outcome.result.value) | unmet.field
        _log.log(level, "pod %s: waiting: %s", outcome.key, error_text(outcome.error), extra=fields)


def _failed(outcome: Outcome) -> None:
    """Repeats an unchanged failure ever less often, after 2, 4, 8 ... tries, and a final one never."""
    final = outcome.retry_in is None
    if not outcome.news and (final or outcome.tries & (outcome.tries - 1)):
        return
    fields = _fields(outcome) | _EXPLAINED.get(outcome.operation, {})
    what = f"{attempted(outcome)} {_PREPOSITIONS.get(outcome.operation, 'of')} pod {outcome.key}"
    trace = None if isinstance(outcome.error, PodagentError) else outcome.error  # anything else is a bug: show where
    how = "failed" if outcome.news or outcome.tries == 1 else f"still failing after {outcome.tries} tries"
    how += "" if final else f", next try in {outcome.retry_in:.0f} s"
    level = logging.WARNING if final else logging.ERROR
    _log.log(level, "%s %s: %s", what, how, error_text(outcome.error), extra=fields, exc_info=trace)


_LINES: Mapping[Result, Callable[[Outcome], None]] = {
    Result.ATTACHED: _changed,
    Result.ADOPTED: _adopted,
    Result.DETACHED: _changed,
    Result.INHERITED: _inherited,
    Result.DRIFTED: _drifted,
    Result.WAITING: _waiting,
    Result.INVALID: _invalid,
    Result.FAILED: _failed,
}


def _fields(outcome: Outcome, **more: str | None) -> dict[str, Any]:
    fields = _pod_fields(outcome.key, RESULT=outcome.result.value)
    if outcome.attachment is not None:
        fields.update(NETWORK=outcome.attachment.network, IFNAME=outcome.attachment.ifname)
    if command := _COMMANDS.get(outcome.operation):
        fields["CNI_COMMAND"] = command
    fields.update(more)
    return {name: value for name, value in fields.items() if value is not None}


def _pod_fields(key: PodKey, **more: str) -> dict[str, Any]:
    return {"POD": key.name, "POD_NAMESPACE": key.namespace, "POD_UID": key.uid, **more}
