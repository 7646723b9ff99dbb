"""Reports outcomes that concern the pod's owner as Events on the pod."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from podagent.act.outcomes import Outcome, PodState, Result
from podagent.errors import NetnsUnavailable
from podagent.model import Operation, Pod, PodKey
from podagent.report.wording import attempted, described, error_text

_REASONS: Mapping[Result, tuple[str, str]] = {
    Result.ATTACHED: ("Normal", "NetworkAttached"),
    Result.DETACHED: ("Normal", "NetworkDetached"),
    Result.DRIFTED: ("Warning", "NetworkDrifted"),
    Result.INVALID: ("Warning", "NetworkAnnotationInvalid"),
}
_FAILURES: Mapping[Operation, str] = {
    Operation.ATTACH: "NetworkAttachFailed",
    Operation.DETACH: "NetworkDetachFailed",
    Operation.VERIFY: "NetworkAttachFailed",
}


class Recorder(Protocol):
    """Posts Events on pods. Never blocks."""

    def emit(self, pod: Pod, event_type: str, reason: str, message: str) -> None: ...


class PodEvents:
    """A sink. Consecutive identical failures yield one Event; pods that are gone get none."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def report(self, outcome: Outcome) -> None:
        if outcome.pod is None or not outcome.news:
            return
        if outcome.remark:
            _, reason = _REASONS[outcome.result]
            self._recorder.emit(outcome.pod, "Warning", reason, f"{described(outcome)}; {outcome.remark}")
        elif outcome.result in _REASONS:
            self._recorder.emit(outcome.pod, *_REASONS[outcome.result], described(outcome))
        elif outcome.result is Result.WAITING and isinstance(outcome.error, NetnsUnavailable):
            self._recorder.emit(outcome.pod, "Warning", "NetworkAttachFailed", error_text(outcome.error))
        elif outcome.result is Result.FAILED:
            what = f"{attempted(outcome)} failed: {error_text(outcome.error)}"
            self._recorder.emit(outcome.pod, "Warning", _FAILURES[outcome.operation], what)

    def settled(self, key: PodKey, state: PodState) -> None:
        """Nothing to report."""
