"""The pods, and when each is reconciled: the parts that answer this, put together."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from random import Random
from typing import NamedTuple

from podagent.daemon.podtable import PodTable
from podagent.daemon.rounds import Rounds
from podagent.daemon.workqueue import WorkQueue
from podagent.decide.attempts import Attempts
from podagent.model import DefinitionRef, PodKey
from podagent.state.store import Store


class Pace(NamedTuple):
    """How many pods at once, how often, and by which clock."""

    workers: int
    resync_period_s: float
    rng: Random
    clock: Callable[[], float]


class Schedule(NamedTuple):
    """See `make_schedule`."""

    attempts: Attempts
    queue: WorkQueue[PodKey]
    pods: PodTable
    rounds: Rounds
    listed: threading.Event
    """Set at the end of the first list of pods, and at the end of the agent."""

    @property
    def closers(self) -> tuple[Callable[[], None], ...]:
        return self.queue.close, self.listed.set

    def redefined(self, references: Collection[DefinitionRef]) -> None:
        """Retries what failed for want of one of these definitions."""
        for pod in self.attempts.redefined(references):
            self.rounds.look_at(pod)

    def retry_all(self) -> None:
        """Resets every backoff, and verifies all pods."""
        self.attempts.retry_now()
        self.rounds.look_at_all()


def make_schedule(
    pace: Pace, store: Store, confirm_gone: Callable[[PodKey], None], wake: Callable[[], None]
) -> Schedule:
    """`confirm_gone`: see `PodTable`. `wake`: called at the end of the first list of pods."""
    clock = pace.clock
    queue: WorkQueue[PodKey] = WorkQueue(clock, _namespace, max(1, pace.workers // 2))
    listed = threading.Event()

    def first_list_complete() -> None:
        rounds.look_at_all()
        listed.set()
        wake()

    pods = PodTable(queue.add, first_list_complete, store.attachments, confirm_gone)
    rounds = Rounds(pods, store, queue, pace.resync_period_s, pace.rng, clock)
    return Schedule(Attempts(clock, pace.rng), queue, pods, rounds, listed)


def _namespace(pod: PodKey) -> str:
    return pod.namespace
