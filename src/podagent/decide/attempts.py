"""Failure state: when a failed operation may be retried, and its last reported error. Clock and RNG are injected.

Records hold what is attached; this holds what currently fails. It is lost with the process on purpose.
"""

from __future__ import annotations

import math
import random
import threading
from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

from podagent.decide.backoff import exponential
from podagent.decide.budget import Budgets
from podagent.model import Operation, PodKey

# An entry that is edited is tried at once, but nobody edits it more often than that.
_MOST_NEW_AIMS, _NEW_AIMS_S = 3, 60.0
# Failing attempts cost API requests and plugin runs: all pods of a namespace share this budget.
_NAMESPACE_BURST, _NAMESPACE_PER_SECOND, _MOST_NAMESPACES = 20, 2.0, 1024


class Subject(NamedTuple):
    """The subject of an attempt: an operation on one interface of a pod, or on the whole pod (`ifname` is None)."""

    operation: Operation
    ifname: str | None = None


class Attempt(NamedTuple):
    """The failures of one subject so far.

    Attributes:
        aim: the state to bring about; a new aim resets the backoff, but not often. Only compared.
        failures: consecutive failures with this aim.
        not_before: earliest time of the next retry, in seconds of the clock.
        error: text of the last error.
        waits: nothing failed: a precondition was not met.
        new_aims: when the latest new aims reset the backoff, in seconds of the clock.
    """

    aim: object
    failures: int
    not_before: float
    error: str
    new_aims: tuple[float, ...] = ()
    waits: bool = False

    def may_reset(self, now: float) -> bool:
        """Whether a new aim may reset the backoff now."""
        return len(self.new_aims) < _MOST_NEW_AIMS or now - self.new_aims[0] > _NEW_AIMS_S


class Failure(NamedTuple):
    """The consequences of a failure.

    Attributes:
        retry_in: seconds until the next retry; infinite if there is none with this aim.
        tries: consecutive failures with this aim.
        news: the error is not reported yet: the last failure of the subject had another text, or there was none.
    """

    retry_in: float
    tries: int
    news: bool


class Attempts:
    """One `Attempt` per failed subject and pod. Thread-safe."""

    def __init__(self, clock: Callable[[], float], rng: random.Random) -> None:
        self._clock = clock
        self._rng = rng
        self._lock = threading.Lock()
        self._of: dict[PodKey, dict[Subject, Attempt]] = {}
        self._budgets = Budgets(_NAMESPACE_BURST, _NAMESPACE_PER_SECOND, clock, _MOST_NAMESPACES)

    def remaining(self, pod: PodKey, subject: Subject, aim: object) -> float:
        """Seconds until the subject may be tried with this aim; 0 if it may be tried now."""
        attempt, now = self._of.get(pod, {}).get(subject), self._clock()
        if attempt is None or (attempt.aim != aim and attempt.may_reset(now)):
            return 0.0
        return max(0.0, attempt.not_before - now)

    def not_before(self, pod: PodKey, subject: Subject) -> float:
        """Earliest time of the next retry, in seconds of the clock; minus infinity if the subject has not failed."""
        attempt = self._of.get(pod, {}).get(subject)
        return -math.inf if attempt is None or attempt.waits else attempt.not_before

    def admit(self, namespace: str) -> bool:
        """Takes an attempt from the namespace's budget of failures. Returns False if there is none."""
        return self._budgets.allows(namespace)

    def refund(self, namespace: str) -> None:
        """Gives an attempt back that did not fail."""
        self._budgets.refund(namespace)

    def failed(
        self, pod: PodKey, subject: Subject, aim: object, error: str, *, waits: bool = False, final: bool = False
    ) -> Failure:
        """Records a failure and computes the backoff. A `final` one is not retried until the aim changes."""
        with self._lock:
            of_pod = self._of.setdefault(pod, {})
            before, now = of_pod.get(subject), self._clock()
            failures = 1
            new_aims: tuple[float, ...] = ()
            if before is not None and before.aim != aim and before.may_reset(now):
                new_aims = (*before.new_aims, now)[-_MOST_NEW_AIMS:]
            elif before is not None:
                failures, new_aims = before.failures + 1, before.new_aims
            retry_in = math.inf if final else exponential(failures, self._rng)
            of_pod[subject] = Attempt(aim, failures, now + retry_in, error, new_aims, waits)
        return Failure(retry_in, failures, before is None or before.error != error)

    def succeeded(self, pod: PodKey, subject: Subject) -> None:
        """Clears the failures of the subject."""
        if pod in self._of:
            self._drop(pod, lambda each: each == subject)

    def keep_only(self, pod: PodKey, wanted: Collection[str], recorded: Collection[str]) -> None:
        """Drops obsolete attempts: to attach interfaces not `wanted`, or to detach interfaces not `recorded`."""
        kept = {Operation.ATTACH: wanted, Operation.VERIFY: wanted, Operation.DETACH: recorded}
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
