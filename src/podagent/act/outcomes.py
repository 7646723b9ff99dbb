"""What became of each operation: remembered in `Attempts`, and told to the sinks that write it down for users."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from enum import Enum
from typing import NamedTuple, Protocol

from podagent.decide.attempts import Attempts, Subject
from podagent.errors import AnnotationError, NotYet
from podagent.model import Attachment, Operation, Pod, PodKey, Record

_log = logging.getLogger(__name__)


class Result(str, Enum):
    """In one word; the journal's field RESULT has it."""

    ATTACHED = "attached"
    ADOPTED = "adopted"
    DETACHED = "detached"
    INHERITED = "inherited"
    DRIFTED = "drifted"
    WAITING = "waiting"
    INVALID = "invalid"
    FAILED = "failed"


class Outcome(NamedTuple):
    """What became of one operation.

    Attributes:
        key: the pod.
        pod: its object, None when that is gone.
        operation: what was tried.
        result: what came of it.
        attachment: the network, None if the operation was about the pod as a whole.
        record: what is recorded of it, after a success; what was recorded, after a DETACH.
        error: why it failed or waits.
        seconds: how long it took.
        retry_in: seconds until the next try, None if there is none.
        news: whether it differs from what was told of the same operation before.
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
    news: bool = True


class PodState(NamedTuple):
    """A pod at the end of a pass.

    Attributes:
        pod: its object, None when that is gone.
        records: what is recorded of it.
        look_in: seconds until the next look, None if none is needed.
    """

    pod: Pod | None
    records: Sequence[Record]
    look_in: float | None


class Sink(Protocol):
    """Where outcomes go. Never raises; it only reports."""

    def told(self, outcome: Outcome) -> None:
        """One operation ended."""

    def settled(self, key: PodKey, state: PodState) -> None:
        """A pass over the pod ended."""


class Outcomes:
    """One pod at a time for each caller; different pods in parallel."""

    def __init__(self, attempts: Attempts, sinks: Collection[Sink]) -> None:
        self._attempts = attempts
        self._sinks = sinks

    def wait_for(self, key: PodKey, subject: Subject, aim: object) -> float:
        """Seconds until the subject may be tried with this aim."""
        return self._attempts.remaining(key, subject, aim)

    def succeeded(self, outcome: Outcome) -> None:
        """An operation did what it should."""
        self.found(outcome.key, outcome.operation, outcome.attachment)
        self.tell(outcome)

    def found(self, key: PodKey, operation: Operation, attachment: Attachment | None = None) -> None:
        """An operation succeeded that is not worth a word."""
        self._attempts.succeeded(key, _subject(operation, attachment))

    def failed(self, outcome: Outcome, aim: object) -> float:
        """An operation raised `outcome.error`. Returns the seconds until the next try."""
        error = outcome.error
        waits = isinstance(error, NotYet) or outcome.operation in (Operation.FIND, Operation.TAKE_OVER)
        failure = self._attempts.failed(
            outcome.key, _subject(outcome.operation, outcome.attachment), aim, str(error) or repr(error)
        )
        self.tell(
            outcome._replace(
                result=Result.WAITING if waits else Result.FAILED, retry_in=failure.retry_in, news=failure.news
            )
        )
        return failure.retry_in

    def begin(self, pod: Pod, problems: Sequence[str], wanted: Collection[str], recorded: Collection[str]) -> None:
        """A pass over a pod begins. Faults of its annotations are told when they have changed.

        Args:
            pod: as it is now.
            problems: the faults.
            wanted: interface names. What failed for another one starts afresh should it be asked for again.
            recorded: interface names, likewise for detaching.
        """
        self._attempts.keep_only(pod.key, wanted, recorded)
        if not problems:
            self._attempts.succeeded(pod.key, Subject(Operation.READ))
        elif self._attempts.failed(pod.key, Subject(Operation.READ), None, "\n".join(problems)).news:
            for problem in problems:
                self.tell(Outcome(pod.key, pod, Operation.READ, Result.INVALID, error=AnnotationError(problem)))

    def tell(self, outcome: Outcome) -> None:
        """Tells every sink."""
        self._each(lambda sink: sink.told(outcome))

    def forget(self, key: PodKey) -> None:
        """The pod is gone, and nothing is left of it."""
        self._attempts.forget(key)

    def settled(self, key: PodKey, state: PodState) -> None:
        """A pass over the pod ended."""
        self._each(lambda sink: sink.settled(key, state))

    def _each(self, tell: Callable[[Sink], None]) -> None:
        for sink in self._sinks:
            try:
                tell(sink)
            except Exception:  # noqa: PERF203 - a bug in one sink is no reason to keep anything from the others
                _log.exception("internal error in %s", type(sink).__name__)


def _subject(operation: Operation, attachment: Attachment | None) -> Subject:
    return Subject(operation, attachment.ifname if attachment else None)
