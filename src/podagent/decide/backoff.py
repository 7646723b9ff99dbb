"""When a failed action may be tried again. Pure but for its own memory; clock and randomness are injected."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Hashable
from dataclasses import dataclass

from podagent.model import PodKey

FIRST_DELAY = 1.0
LONGEST_DELAY = 300.0
_JITTER = 0.2


def exponential(failures: int, rng: random.Random, longest: float = LONGEST_DELAY) -> float:
    """Seconds to wait after the `failures`-th failure in a row: 1, 2, 4, ... up to `longest`, give or take 20 %."""
    delay = min(FIRST_DELAY * 2.0 ** min(failures - 1, 32), longest)
    return delay * rng.uniform(1 - _JITTER, 1 + _JITTER)


@dataclass(frozen=True, slots=True)
class _Failure:
    aim: Hashable
    count: int
    not_before: float


class Backoffs:
    """One exponential backoff for each (pod, interface). A changed aim (another desired state) starts afresh.

    Used by one worker at a time for the keys of one pod; different pods never share a key.
    """

    def __init__(self, clock: Callable[[], float], rng: random.Random) -> None:
        self._clock = clock
        self._rng = rng
        self._failures: dict[PodKey, dict[str, _Failure]] = {}

    def remaining(self, pod: PodKey, ifname: str, aim: Hashable) -> float:
        """Seconds until `aim` may be tried for this interface; 0 when it may be tried now."""
        failure = self._failures.get(pod, {}).get(ifname)
        if failure is None or failure.aim != aim:
            return 0.0
        return max(0.0, failure.not_before - self._clock())

    def failed(self, pod: PodKey, ifname: str, aim: Hashable) -> float:
        """Notes a failure; returns the seconds to wait."""
        of_pod = self._failures.setdefault(pod, {})
        before = of_pod.get(ifname)
        count = before.count + 1 if before is not None and before.aim == aim else 1
        delay = exponential(count, self._rng)
        of_pod[ifname] = _Failure(aim, count, self._clock() + delay)
        return delay

    def succeeded(self, pod: PodKey, ifname: str) -> None:
        """Forgets the failures of one interface."""
        of_pod = self._failures.get(pod)
        if of_pod is not None:
            of_pod.pop(ifname, None)
            if not of_pod:
                self._failures.pop(pod, None)

    def keep_only(self, pod: PodKey, ifnames: Collection[str]) -> None:
        """Forgets the failures of all other interfaces of the pod: nobody wants anything of them any more."""
        of_pod = self._failures.get(pod, {})
        for ifname in [ifname for ifname in of_pod if ifname not in ifnames]:
            self.succeeded(pod, ifname)

    def forget(self, pod: PodKey) -> None:
        """Forgets a pod."""
        self._failures.pop(pod, None)

    def clear(self) -> None:
        """Everything may be tried at once."""
        self._failures.clear()
