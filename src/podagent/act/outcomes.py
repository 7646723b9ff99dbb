"""Outcomes of operations: kept in `Attempts` and passed on to the sinks that report them to users."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from enum import Enum
from typing import NamedTuple, Protocol

from podagent.decide.attempts import Attempts, Subject
from podagent.decide.budget import Budgets
from podagent.errors import AnnotationError, HostNetworkRefused, ManyFailures, NotYet
from podagent.model import Attachment, DefinitionRef, Operation, Pod, PodKey, Record

_log = logging.getLogger(__name__)

# Failures of one pod that are reported one by one. The others are counted, and summed up once a minute.
_FAILURES_BURST, _FAILURES_PER_SECOND = 20, 0.2
_SUMMARIES_PER_SECOND = 1 / 60
# Their failure is no failure of the pod's networks: the agent waits.
_PRECONDITIONS = (Operation.FIND, Operation.CONFIRM, Operation.TAKE_OVER)
_MOST_PODS = 4096


class Result(str, Enum):
    """The value of the journal field RESULT."""

    ATTACHED = "attached"
    ADOPTED = "adopted"
    DETACHED = "detached"
    INHERITED = "inherited"
    DRIFTED = "drifted"
    WAITING = "waiting"
    INVALID = "invalid"
    FAILED = "failed"


class Outcome(NamedTuple):
    """The result of one operation, with the facts to report.

    Attributes:
        key: the pod.
        pod: the pod object, None if it is gone.
        operation: the operation.
        result: its result.
        attachment: the network, None if the operation concerns the whole pod.
        record: the record after a success; for a DETACH, the removed record.
        error: the reason of a failure or a wait.
        seconds: duration.
        retry_in: seconds until the next retry, None if there is none.
        tries: consecutive failures so far, with this one.
        news: it differs from the last report about the same operation.
        remark: what went otherwise than usual in a success, "" if nothing did.
    """

    key: PodKey
    pod: Pod | None
    operation: Operation
    result: Result
    attachment: Attachment | None = None
    record: Record | None = None
    error: Exception | None = None
    seconds: float = 0.0
    retry_in: float | None = None
    tries: int = 1
    news: bool = True
    remark: str = ""


class PodState(NamedTuple):
    """State of a pod at the end of a pass.

    Attributes:
        pod: the pod object, None if it is gone.
        records: its records.
        look_in: seconds until the next pass, None if none is needed.
    """

    pod: Pod | None
    records: Sequence[Record]
    look_in: float | None


class Sink(Protocol):
    """A receiver of outcomes. Must not raise."""

    def report(self, outcome: Outcome) -> None:
        """An operation has ended."""

    def settled(self, key: PodKey, state: PodState) -> None:
        """A pass over the pod has ended."""


class Outcomes:
    """Reports outcomes. One caller at a time per pod; different pods in parallel."""

    def __init__(self, attempts: Attempts, sinks: Collection[Sink], clock: Callable[[], float]) -> None:
        self._attempts = attempts
        self._sinks = sinks
        self._failures = Budgets(_FAILURES_BURST, _FAILURES_PER_SECOND, clock, _MOST_PODS)
        self._summaries = Budgets(1, _SUMMARIES_PER_SECOND, clock, _MOST_PODS)
        self._unreported: Counter[PodKey] = Counter()
        self._drifts: dict[PodKey, dict[str | None, Outcome]] = {}  # by interface: found, and not repaired yet
        self._remarks: dict[PodKey, dict[str | None, str]] = {}  # by interface: the last one since it was attached

    def wait_for(self, key: PodKey, subject: Subject, aim: object) -> float:
        """Seconds until the subject may be tried with this aim."""
        return self._attempts.remaining(key, subject, aim)

    def not_before(self, key: PodKey, subject: Subject) -> float:
        """The time of the subject's next retry; minus infinity if it has not failed. To be compared only."""
        return self._attempts.not_before(key, subject)

    def admit(self, key: PodKey, operation: Operation) -> bool:
        """Whether the namespace's budget of failures has room for this attempt. Detaching is not limited."""
        return operation is not Operation.ATTACH or self._attempts.admit(key.namespace)

    def refund(self, key: PodKey, operation: Operation) -> None:
        """The admitted attempt did not fail."""
        if operation is Operation.ATTACH:
            self._attempts.refund(key.namespace)

    def may_repeat(self, key: PodKey, subject: Subject) -> bool:
        """Whether something that should not happen again and again may be done now; if so, the next time is later."""
        if self._attempts.remaining(key, subject, None) > 0:
            return False
        self._attempts.failed(key, subject, None, "")
        return True

    def drifted(self, drift: Outcome) -> None:
        """Reports the drift of an interface once the attempt to repair it has succeeded or failed."""
        self._drifts.setdefault(drift.key, {})[_ifname(drift)] = drift

    def succeeded(self, outcome: Outcome) -> None:
        """Clears earlier failures of the operation and reports its success."""
        self.refund(outcome.key, outcome.operation)
        self.found(outcome.key, outcome.operation, outcome.attachment)
        self.report(outcome._replace(news=self._is_news(outcome)))
        if outcome.operation is Operation.ATTACH:
            self._report_drift(outcome)

    def found(self, key: PodKey, operation: Operation, attachment: Attachment | None = None) -> None:
        """Clears earlier failures of the operation without a report."""
        self._attempts.succeeded(key, _subject(operation, attachment))

    def failed(
        self, outcome: Outcome, aim: object, needs: Collection[DefinitionRef] = (), began: float = math.inf
    ) -> float:
        """Reports `outcome.error` and schedules a retry. Returns the seconds until then, infinite for no retry.

        For `needs` and `began` see `Attempts.failed`.
        """
        error = outcome.error
        waits = isinstance(error, NotYet) or outcome.operation in _PRECONDITIONS
        final = isinstance(error, HostNetworkRefused) and not waits
        subject = _subject(outcome.operation, outcome.attachment)
        if waits:
            self.refund(outcome.key, outcome.operation)
        text = str(error) or repr(error)
        failure = self._attempts.failed(
            outcome.key, subject, aim, text, waits=waits, final=final, needs=needs, began=began
        )
        retry_in = None if final else failure.retry_in
        result = Result.WAITING if waits else Result.FAILED
        if result is Result.FAILED and not self._failures.allows(outcome.key):
            self._unreported[outcome.key] += 1
        else:
            self.report(outcome._replace(result=result, retry_in=retry_in, tries=failure.tries, news=failure.news))
        if not waits:
            self._report_drift(outcome)
        return failure.retry_in

    def begin(self, pod: Pod, problems: Sequence[str], wanted: Collection[str], recorded: Collection[str]) -> None:
        """Starts a pass over a pod. Reports faults in its annotations if they have changed.

        Args:
            pod: the current pod.
            problems: the faults.
            wanted: interface names. Attempts to attach others are dropped.
            recorded: interface names. Attempts to detach others are dropped.
        """
        self._attempts.keep_only(pod.key, wanted, recorded)
        for ifname in self._drifts.get(pod.key, {}).keys() - wanted:
            del self._drifts[pod.key][ifname]
        if not problems:
            self._attempts.succeeded(pod.key, Subject(Operation.READ))
        elif self._attempts.failed(pod.key, Subject(Operation.READ), None, "\n".join(problems)).news:
            for problem in problems:
                self.report(Outcome(pod.key, pod, Operation.READ, Result.INVALID, error=AnnotationError(problem)))

    def report(self, outcome: Outcome) -> None:
        """Reports the outcome to every sink."""
        self._each(lambda sink: sink.report(outcome))

    def forget(self, key: PodKey) -> None:
        """Drops the attempts of a pod that is gone and fully detached."""
        self._attempts.forget(key)
        self._drifts.pop(key, None)
        self._remarks.pop(key, None)
        self._unreported.pop(key, None)

    def settled(self, key: PodKey, state: PodState) -> None:
        """Reports the end of a pass to every sink, and the failures that were only counted."""
        if self._unreported[key] and self._summaries.allows(key):
            error = ManyFailures(f"{self._unreported.pop(key)} more failures of this pod's networks are not shown")
            self.report(Outcome(key, state.pod, Operation.ATTACH, Result.FAILED, error=error))
        self._each(lambda sink: sink.settled(key, state))

    def _is_news(self, done: Outcome) -> bool:
        """False for a remark that is repeated: ADD and DEL of a faulty definition fail again and again."""
        of_pod = self._remarks.get(done.key, {})
        if done.operation is Operation.ATTACH:
            of_pod.pop(_ifname(done), None)
        if not done.remark:
            return True
        known = of_pod.get(_ifname(done))
        self._remarks.setdefault(done.key, {})[_ifname(done)] = done.remark
        return known != done.remark

    def _report_drift(self, repair: Outcome) -> None:
        drift = self._drifts.get(repair.key, {}).pop(_ifname(repair), None)
        if drift is not None:
            self.report(drift._replace(error=repair.error))

    def _each(self, tell: Callable[[Sink], None]) -> None:
        for sink in self._sinks:
            try:
                tell(sink)
            except Exception:  # noqa: PERF203 - a bug in one sink must not affect the others
                _log.exception("internal error in %s", type(sink).__name__)


def _ifname(outcome: Outcome) -> str | None:
    return outcome.attachment.ifname if outcome.attachment else None


def _subject(operation: Operation, attachment: Attachment | None) -> Subject:
    return Subject(operation, attachment.ifname if attachment else None)
