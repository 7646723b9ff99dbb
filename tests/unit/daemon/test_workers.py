"""The worker threads: they survive bugs, come back when told to, and tell the watchdog how long a step may take."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from lab.waiting import eventually
from podagent.act.ports import Expect
from podagent.act.reconciler import LOOKUP_ALLOWANCE_S
from podagent.daemon.workers import Workers
from podagent.daemon.workqueue import WorkQueue


class Beat:
    def __init__(self) -> None:
        self.said: list[float | str] = []

    def working(self, allowance_s: float) -> None:
        self.said.append(allowance_s)

    def idle(self) -> None:
        self.said.append("idle")


Start = Callable[..., "Crew"]


class Crew:
    """Workers on a queue, with everything they said and did."""

    def __init__(self, reconcile: Callable[[str, Expect], float | None], number: int) -> None:
        self.queue = WorkQueue(time.monotonic)
        self.beats: dict[str, Beat] = {}
        self.workers = Workers(self.queue, reconcile, self._register, number)
        self.workers.start()

    def _register(self, name: str) -> Beat:
        return self.beats.setdefault(name, Beat())

    def end(self) -> int:
        self.queue.close()
        return self.workers.join(10)


@pytest.fixture
def start() -> Iterator[Start]:
    crews: list[Crew] = []

    def make(reconcile: Callable[[str, Expect], float | None], number: int = 1) -> Crew:
        crews.append(Crew(reconcile, number))
        return crews[-1]

    yield make
    assert [crew.end() for crew in crews] == [0] * len(crews)


def test_comes_back_to_a_pod_when_it_was_told_to(start: Start) -> None:
    waits = iter([0.01, 0.02, None])
    seen: list[str] = []

    def reconcile(uid: str, expect: Expect) -> float | None:
        seen.append(uid)
        return next(waits)

    crew = start(reconcile)
    crew.queue.add("a")
    eventually(lambda: len(seen) == 3)
    crew.end()
    assert seen == ["a"] * 3


def test_a_bug_ends_neither_the_worker_nor_the_work_on_other_pods(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[str] = []

    def reconcile(uid: str, expect: Expect) -> None:
        seen.append(uid)
        if uid == "bad":
            raise ZeroDivisionError("bug")

    crew = start(reconcile)
    for uid in ("bad", "good"):
        crew.queue.add(uid)
    eventually(lambda: seen == ["bad", "good"])
    assert "internal error while reconciling pod bad" in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_as_many_pods_are_worked_on_at_once_as_there_are_workers(start: Start) -> None:
    together = threading.Barrier(4, timeout=10)
    passed: list[str] = []

    def reconcile(uid: str, expect: Expect) -> None:
        together.wait()
        passed.append(uid)

    crew = start(reconcile, 4)
    for number in range(8):
        crew.queue.add(str(number))
    eventually(lambda: len(passed) == 8)


def test_says_how_long_work_may_take_and_that_it_is_idle_afterwards(start: Start) -> None:
    def reconcile(uid: str, expect: Expect) -> None:
        expect(7)

    crew = start(reconcile)
    crew.queue.add("a")
    eventually(lambda: crew.beats["worker 1"].said == [LOOKUP_ALLOWANCE_S, 7, "idle"])


def test_waiting_for_the_end_tells_how_many_are_still_at_work(start: Start) -> None:
    release = threading.Event()
    crew = start(lambda uid, expect: release.wait(20) and None, 2)
    crew.queue.add("a")
    eventually(lambda: crew.beats["worker 1"].said or crew.beats["worker 2"].said)
    crew.queue.close()
    assert crew.workers.join(0.05) == 1
    release.set()
    assert crew.workers.join(10) == 0
