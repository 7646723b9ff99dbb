"""Failure state: when a failed operation may be retried, and its last reported error. Clock and RNG are injected.

Records hold what is attached; this holds what currently fails. It is lost with the process on purpose.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

from podagent.decide.backoff import exponential
from podagent.model import Operation, PodKey


class Subject(NamedTuple):
    """The subject of an attempt: an operation on one interface of a pod, or on the whole pod (`ifname` is None)."""

    operation: Operation
    ifname: str | None = None


class Attempt(NamedTuple):
    """The failures of one subject so far.

    Attributes:
        aim: the state to bring about; a new aim resets the backoff. Only compared.
        failures: consecutive failures with this aim.
        not_before: earliest time of the next retry, in seconds of the clock.
        error: text of the last error.
    """

    aim: object
    failures: int
    not_before: float
    error: str


class Failure(NamedTuple):
    """The consequences of a failure.

    Attributes:
        retry_in: seconds until the next retry.
        news: the error is not reported yet: the last failure of the subject had another text, or there was none.
    """

    retry_in: float
    news: bool


class Attempts:
    """One `Attempt` per failed subject and pod. Thread-safe."""

    def __init__(self, clock: Callable[[], float], rng: random.Random) -> None:
        self._clock = clock
        self._rng = rng
        self._lock = threading.Lock()
        self._of: dict[PodKey, dict[Subject, Attempt]] = {}

    def remaining(self, pod: PodKey, subject: Subject, aim: object) -> float:
        """Seconds until the subject may be tried with this aim; 0 if it may be tried now."""
        attempt = self._of.get(pod, {}).get(subject)
        if attempt is None or attempt.aim != aim:
            return 0.0
        return max(0.0, attempt.not_before - self._clock())

    def failed(self, pod: PodKey, subject: Subject, aim: object, error: str) -> Failure:
        """Records a failure and computes the backoff."""
        with self._lock:
            of_pod = self._of.setdefault(pod, {})
            before = of_pod.get(subject)
            failures = before.failures + 1 if before is not None and before.aim == aim else 1
            retry_in = exponential(failures, self._rng)
            of_pod[subject] = Attempt(aim, failures, self._clock() + retry_in, error)
        return Failure(retry_in, before is None or before.error != error)

    def succeeded(self, pod: PodKey, subject: Subject) -> None:
        """Clears the failures of the subject."""
        if pod in self._of:
            self._drop(pod, lambda each: each == subject)

    def keep_only(self, pod: PodKey, wanted: Collection[str], recorded: Collection[str]) -> None:
        """Drops obsolete attempts: to attach interfaces not `wanted`, or to detach interfaces not `recorded`."""
        kept = {Operation.ATTACH: wanted, Operation.DETACH: recorded}
        if pod in self._of:
            self._drop(pod, lambda each: each.ifname is not None and each.ifname not in kept.get(each.operation, ()))

    def forget(self, pod: PodKey) -> None:
        """Drops all attempts of a pod."""
        with self._lock:
            self._of.pop(pod, None)

    def retry_now(self) -> None:
        """Resets every backoff. Errors that were reported stay reported."""
        with self._lock:
            for of_pod in self._of.values():
                for subject, attempt in of_pod.items():
                    of_pod[subject] = attempt._replace(failures=0, not_before=self._clock())

    def snapshot(self) -> dict[PodKey, Mapping[Subject, Attempt]]:
        """A copy of all attempts."""
        with self._lock:
            return {pod: dict(of_pod) for pod, of_pod in self._of.items()}

    def _drop(self, pod: PodKey, unwanted: Callable[[Subject], bool]) -> None:
        with self._lock:
            of_pod = self._of.get(pod, {})
            for subject in [each for each in of_pod if unwanted(each)]:
                del of_pod[subject]
            if not of_pod:
                self._of.pop(pod, None)
