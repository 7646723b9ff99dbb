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
from podagent.decide.lately import Lately
from podagent.model import DefinitionRef, Operation, PodKey

# An entry that is edited is tried at once, but nobody edits it more often than that.
_MOST_NEW_AIMS, _NEW_AIMS_S = 3, 60.0
# Failing attempts cost API requests and plugin runs: all pods of a namespace share this budget.
_NAMESPACE_BURST, _NAMESPACE_PER_SECOND, _MOST_NAMESPACES = 20, 2.0, 1024

# Changed definitions of which the failure of an attempt that began before is noticed.
_MOST_REDEFINED = 4096


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
        new_aims: when the latest new aims, or new definitions, reset the backoff, in seconds of the clock.
        needs: the network definitions that it may depend on.
    """

    aim: object
    failures: int
    not_before: float
    error: str
    new_aims: tuple[float, ...] = ()
    waits: bool = False
    needs: Collection[DefinitionRef] = ()

    def may_reset(self, now: float) -> bool:
        """Whether a new aim or definition may reset the backoff now."""
        return len(self.new_aims) < _MOST_NEW_AIMS or now - self.new_aims[0] > _NEW_AIMS_S

    def with_reset(self, now: float) -> tuple[float, ...]:
        """`new_aims` after another one."""
        return (*self.new_aims, now)[-_MOST_NEW_AIMS:]

    def may_retry(self, changed: frozenset[DefinitionRef], now: float) -> bool:
        """Whether it failed for want of one of these definitions, perhaps, and may be retried before its time."""
        needed = not self.waits and not changed.isdisjoint(self.needs)
        return needed and now < self.not_before < math.inf and self.may_reset(now)


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
        self._redefined: Lately[DefinitionRef] = Lately(_MOST_REDEFINED)
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
        self,
        pod: PodKey,
        subject: Subject,
        aim: object,
        error: str,
        *,
        waits: bool = False,
        final: bool = False,
        needs: Collection[DefinitionRef] = (),
        began: float = math.inf,
    ) -> Failure:
        """Records a failure and computes the backoff.

        Args:
            waits: nothing failed: a precondition was not met.
            final: it is not retried until the aim changes.
            needs: the network definitions that it may depend on.
            began: when the attempt began, in seconds of the clock. It may not have seen a definition changed since.
        """
        with self._lock:
            of_pod = self._of.setdefault(pod, {})
            before, now = of_pod.get(subject), self._clock()
            redefined = self._redefined.happened(needs, began)
            failures = 1
            new_aims: tuple[float, ...] = ()
            resets = before is None or ((before.aim != aim or redefined) and before.may_reset(now))
            if before is not None and resets:
                new_aims = before.with_reset(now)
            elif before is not None:
                failures, new_aims = before.failures + 1, before.new_aims
            at_once = redefined and resets
            retry_in = math.inf if final else 0.0 if at_once else exponential(failures, self._rng)
            of_pod[subject] = Attempt(aim, failures, now + retry_in, error, new_aims, waits, needs)
        return Failure(retry_in, failures, before is None or before.error != error)

    def redefined(self, definitions: Collection[DefinitionRef]) -> list[PodKey]:
        """Network definitions are new or have changed. Returns the pods with failures that may be retried now."""
        pods = []
        with self._lock:
            now, changed = self._clock(), frozenset(definitions)
            self._redefined.note(changed, now)
            for pod, of_pod in self._of.items():
                due = [each for each, attempt in of_pod.items() if attempt.may_retry(changed, now)]
                for subject in due:
                    attempt = of_pod[subject]
                    new_aims = attempt.with_reset(now)
                    of_pod[subject] = attempt._replace(failures=0, not_before=now, new_aims=new_aims)
                if due:
                    pods.append(pod)
        return pods

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

    def failing(self, subject: Subject) -> list[PodKey]:
        """The pods of which the last attempt at this subject failed."""
        with self._lock:
            return [pod for pod, of_pod in self._of.items() if subject in of_pod]

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
