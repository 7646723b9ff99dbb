"""The one memory of what failed: when it may be tried again, and what was last said about it. Clock, randomness given.

Records say what is attached; this says what does not work at the moment. It is lost with the process, on purpose.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

from podagent.decide.backoff import exponential
from podagent.model import Operation, PodKey


class Subject(NamedTuple):
    """What was tried: an operation on one interface of a pod, or on the pod as a whole (`ifname` is None)."""

    operation: Operation
    ifname: str | None = None


class Attempt(NamedTuple):
    """How trying it has gone so far.

    Attributes:
        aim: the state it was to bring about; another one starts afresh. Only compared.
        failures: in a row, with this aim.
        not_before: when it may be tried again, in seconds of the clock.
        error: the last one's text.
    """

    aim: object
    failures: int
    not_before: float
    error: str


class Failure(NamedTuple):
    """What a failure means.

    Attributes:
        retry_in: seconds to wait.
        news: nobody was told yet: the same subject did not fail with the same words the last time.
    """

    retry_in: float
    news: bool


class Attempts:
    """One `Attempt` for each subject of each pod that failed. Thread-safe."""

    def __init__(self, clock: Callable[[], float], rng: random.Random) -> None:
        self._clock = clock
        self._rng = rng
        self._lock = threading.Lock()
        self._of: dict[PodKey, dict[Subject, Attempt]] = {}

    def remaining(self, pod: PodKey, subject: Subject, aim: object) -> float:
        """Seconds until the subject may be tried with this aim; 0 when it may be tried now."""
        attempt = self._of.get(pod, {}).get(subject)
        if attempt is None or attempt.aim != aim:
            return 0.0
        return max(0.0, attempt.not_before - self._clock())

    def failed(self, pod: PodKey, subject: Subject, aim: object, error: str) -> Failure:
        """Notes a failure."""
        with self._lock:
            of_pod = self._of.setdefault(pod, {})
            before = of_pod.get(subject)
            failures = before.failures + 1 if before is not None and before.aim == aim else 1
            retry_in = exponential(failures, self._rng)
            of_pod[subject] = Attempt(aim, failures, self._clock() + retry_in, error)
        return Failure(retry_in, before is None or before.error != error)

    def succeeded(self, pod: PodKey, subject: Subject) -> None:
        """Forgets that it failed."""
        if pod in self._of:
            self._drop(pod, lambda each: each == subject)

    def keep_only(self, pod: PodKey, wanted: Collection[str], recorded: Collection[str]) -> None:
        """Forgets attaching interfaces but those `wanted`, and detaching but those `recorded`: nobody asks for it."""
        kept = {Operation.ATTACH: wanted, Operation.DETACH: recorded}
        if pod in self._of:
            self._drop(pod, lambda each: each.ifname is not None and each.ifname not in kept.get(each.operation, ()))

    def forget(self, pod: PodKey) -> None:
        """Forgets a pod."""
        with self._lock:
            self._of.pop(pod, None)

    def retry_now(self) -> None:
        """Everything may be tried at once. What was said about it is not said again."""
        with self._lock:
            for of_pod in self._of.values():
                for subject, attempt in of_pod.items():
                    of_pod[subject] = attempt._replace(failures=0, not_before=self._clock())

    def snapshot(self) -> dict[PodKey, Mapping[Subject, Attempt]]:
        """A copy of all there is."""
        with self._lock:
            return {pod: dict(of_pod) for pod, of_pod in self._of.items()}

    def _drop(self, pod: PodKey, unwanted: Callable[[Subject], bool]) -> None:
        with self._lock:
            of_pod = self._of.get(pod, {})
            for subject in [each for each in of_pod if unwanted(each)]:
                del of_pod[subject]
            if not of_pod:
                self._of.pop(pod, None)
