"""The worker threads: they survive bugs, come back when asked to, and announce how long a step may take."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from lab.waiting import eventually
from podagent.act.ports import Expect, Reconcile
from podagent.act.reconciler import LOOKUP_ALLOWANCE_S
from podagent.daemon.workers import Workers
from podagent.daemon.workqueue import WorkQueue
from podagent.model import PodKey
from unit.factory import key


class Beat(list[float | str]):
    """The signs of life, in order."""

    def working(self, allowance_s: float) -> None:
        self.append(allowance_s)

    def idle(self) -> None:
        self.append("idle")


class Crew:
    """Workers on a queue, with their signs of life."""

    def __init__(self, reconcile: Reconcile, number: int) -> None:
        self.queue: WorkQueue[PodKey] = WorkQueue(time.monotonic)
        self.beats: list[Beat] = []
        self.workers = Workers(self.queue, reconcile, self._register, number)
        self.workers.start()

    def _register(self, name: str) -> Beat:
        self.beats.append(Beat())
        return self.beats[-1]

    def work_on(self, *uids: str) -> None:
        for uid in uids:
            self.queue.add(key(uid))

    def end(self) -> int:
        self.queue.close()
        return self.workers.join(10, lambda: False)


Start = Callable[[Reconcile, int], Crew]


@pytest.fixture
def start() -> Iterator[Start]:
    crews: list[Crew] = []

    def make(reconcile: Reconcile, number: int) -> Crew:
        crews.append(Crew(reconcile, number))
        return crews[-1]

    yield make
    assert [crew.end() for crew in crews] == [0] * len(crews)


def test_comes_back_to_a_pod_when_asked_to_and_shows_how_long_a_step_may_take(start: Start) -> None:
    waits = iter([0.01, None])

    def reconcile(pod: PodKey, expect: Expect) -> float | None:
        expect(7)
        return next(waits)

    crew = start(reconcile, 1)
    crew.work_on("a")
    eventually(lambda: crew.beats[0] == [LOOKUP_ALLOWANCE_S, 7, "idle"] * 2)


def test_a_bug_ends_neither_the_worker_nor_the_work_on_other_pods(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[str] = []

    def reconcile(pod: PodKey, expect: Expect) -> None:
        seen.append(pod.uid)
        if pod.uid == "bad":
            raise ZeroDivisionError("bug")

    start(reconcile, 1).work_on("bad", "good")
    eventually(lambda: seen == ["bad", "good"])
    assert f"internal error while reconciling pod {key('bad')}" in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_as_many_pods_are_worked_on_at_once_as_there_are_workers(start: Start) -> None:
    together = threading.Barrier(4, timeout=10)
    passed: list[PodKey] = []

    def reconcile(pod: PodKey, expect: Expect) -> None:
        together.wait()
        passed.append(pod)

    start(reconcile, 4).work_on(*"abcdefgh")
    eventually(lambda: len(passed) == 8)


def test_waiting_for_the_end_returns_how_many_are_still_at_work(start: Start) -> None:
    begun, release = threading.Event(), threading.Event()

    def reconcile(pod: PodKey, expect: Expect) -> None:
        begun.set()
        release.wait(20)

    crew = start(reconcile, 2)
    crew.work_on("a")
    assert begun.wait(10)
    crew.queue.close()
    assert crew.workers.join(0.05, lambda: False) == 1
    assert crew.workers.join(60, lambda: True) > 0
    release.set()
