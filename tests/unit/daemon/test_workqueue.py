"""One key at a time, duplicates coalesce, delays, and no wake-up is lost."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from lab.waiting import eventually
from podagent.daemon.workqueue import WorkQueue
from unit.factory import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def queue(clock: Clock) -> WorkQueue[str]:
    return WorkQueue(clock)


def take_due(queue: WorkQueue[str]) -> list[str]:
    """Works on what is due now. The first marker makes the queue look at its timers, the second one is behind them."""
    taken = []
    for marker in ("first", "last"):
        queue.add(marker)
        while (key := queue.get()) != marker:
            assert key is not None
            queue.done(key)
            taken.append(key)
        queue.done(marker)
    return taken


def test_keys_come_in_the_order_in_which_they_were_first_added(queue: WorkQueue[str]) -> None:
    for key in "abacab":
        queue.add(key)
    assert take_due(queue) == ["a", "b", "c"]


@pytest.mark.parametrize("delays", [(5,), (5, 9), (9, 5), (5, 5), (5, 0), (0, 5)])
def test_a_key_comes_once_when_the_earliest_of_its_delays_is_over(
    queue: WorkQueue[str], clock: Clock, delays: tuple[float, ...]
) -> None:
    for delay in delays:
        queue.add_after("a", delay) if delay else queue.add("a")
    for clock.now in (0.0, 4.9, 5.0, 9.0, 100.0):
        assert take_due(queue) == ["a"] * (clock.now == min(delays))


def test_a_closed_queue_gives_nothing_more(queue: WorkQueue[str]) -> None:
    queue.add("a")
    queue.add("b")
    queue.add_after("c", 5)
    assert queue.get() == "a"
    assert len(queue) == 2, "one waits for a worker and one is in work"
    queue.close()
    assert queue.get() is None
    queue.add("c")
    queue.add_after("c", 0)
    queue.done("a")
    assert queue.get() is None


def test_groups_take_turns_and_none_has_all_workers(clock: Clock) -> None:
    queue: WorkQueue[str] = WorkQueue(clock, lambda key: key[0], most_per_group=2)
    for key in ("a1", "a2", "a3", "a4", "b1", "c1"):
        queue.add(key)
    assert [queue.get() for _ in range(4)] == ["a1", "b1", "c1", "a2"]
    free = ThreadPoolExecutor(1).submit(queue.get)
    assert len(queue) == 6
    assert not free.done(), "two of group a are in work"
    queue.done("a1")
    assert free.result(10) == "a3"
    queue.add("d1")
    assert queue.get() == "d1"


keys = st.sampled_from("abc")


class Ledger(RuleBasedStateMachine):
    """A queue, the keys that it owes with the times when they are due, and the keys in work."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.queue: WorkQueue[str] = WorkQueue(self.clock)
        self.owed: dict[str, float] = {}
        self.working: set[str] = set()

    @rule(key=keys)
    def add(self, key: str) -> None:
        self.queue.add(key)
        self.owed[key] = self.clock.now

    @rule(key=keys, seconds=st.sampled_from([0.0, 1.0, 3.0]))
    def after(self, key: str, seconds: float) -> None:
        self.queue.add_after(key, seconds)
        due = self.clock.now + seconds
        self.owed[key] = min(self.owed.get(key, due), due)

    @rule()
    def work(self) -> None:
        if not any(due <= self.clock.now for key, due in self.owed.items() if key not in self.working):
            return
        key = self.queue.get()
        assert key is not None
        assert key not in self.working, "worked on twice at once"
        assert self.owed.pop(key) <= self.clock.now, "too early, or not asked for"
        self.working.add(key)

    @rule(key=keys)
    def done(self, key: str) -> None:
        if key in self.working:
            self.working.discard(key)
            self.queue.done(key)

    @rule(seconds=st.sampled_from([0.5, 2.0]))
    def passes(self, seconds: float) -> None:
        self.clock.now += seconds

    def teardown(self) -> None:
        """Every request is followed by work that begins after it, and nothing else is."""
        self.passes(10)
        while self.owed or self.working:
            for key in list(self.working):
                self.done(key)
            self.work()
        self.add("last")
        self.work()
        assert len(self.queue) == 1, "something comes that was not asked for"


TestEveryRequestIsFollowedByWork = Ledger.TestCase


class Crew:
    """Worker threads on a queue; `work` is called with each key."""

    def __init__(self, queue: WorkQueue[str], number: int, work: Callable[[str], object]) -> None:
        self._queue = queue
        self._work = work
        self.threads = [threading.Thread(target=self._run, daemon=True) for _ in range(number)]
        for thread in self.threads:
            thread.start()

    def _run(self) -> None:
        while (key := self._queue.get()) is not None:
            self._work(key)
            self._queue.done(key)

    def end(self) -> bool:
        """Closes the queue; whether all threads ended."""
        self._queue.close()
        for thread in self.threads:
            thread.join(10)
        return not any(thread.is_alive() for thread in self.threads)


def test_many_threads_never_work_on_one_key_at_once_and_miss_nothing() -> None:
    queue: WorkQueue[str] = WorkQueue(time.monotonic)
    keys = [f"key {number}" for number in range(6)]
    asked: Counter[str] = Counter()
    served: dict[str, int] = {}
    at_work: Counter[str] = Counter()
    overlaps: list[str] = []
    lock = threading.Lock()

    def work(key: str) -> None:
        with lock:
            at_work[key] += 1
            if at_work[key] > 1:
                overlaps.append(key)
            seen = asked[key]
        time.sleep(0.0002)  # the work itself
        with lock:
            at_work[key] -= 1
            served[key] = seen

    def ask(seed: int) -> None:
        rng = random.Random(seed)
        for _ in range(300):
            key = rng.choice(keys)
            with lock:
                asked[key] += 1
            if rng.random() < 0.3:
                queue.add_after(key, rng.random() / 200)
            else:
                queue.add(key)

    crew = Crew(queue, 8, work)
    with ThreadPoolExecutor(4) as askers:
        list(askers.map(ask, range(4)))
    eventually(lambda: served == dict(asked), 20, "a request is followed by work")
    assert crew.end()
    assert overlaps == []


def test_an_earlier_delay_is_kept_though_all_workers_wait_for_a_later_one_and_closing_wakes_them() -> None:
    queue: WorkQueue[str] = WorkQueue(time.monotonic)
    came: list[str] = []
    queue.add_after("far", 3600)
    crew = Crew(queue, 4, came.append)
    for number in range(12):
        queue.add_after(f"late {number}", 0.08)
        queue.add_after(f"soon {number}", 0.02)
        queue.add(f"now {number}")
    eventually(lambda: len(came) == 36)
    assert crew.end()
    assert "far" not in came


def test_a_worker_that_is_long_at_work_does_not_take_the_others_timers_with_it() -> None:
    queue: WorkQueue[str] = WorkQueue(time.monotonic)
    release, came = threading.Event(), threading.Event()

    crew = Crew(queue, 3, lambda key: came.set() if key == "timer" else release.wait(20))
    for number in range(2):  # each wakes a worker, which then knows of the timer and goes off to work
        queue.add_after("timer", 0.3)
        queue.add(f"long {number}")
    assert came.wait(10)
    release.set()
    assert crew.end()
