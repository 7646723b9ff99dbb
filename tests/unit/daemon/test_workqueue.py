"""One key at a time, duplicates coalesce, delays, and no wake-up is lost."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podagent.daemon.workqueue import WorkQueue
from unit.factory import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def queue(clock: Clock) -> WorkQueue[str]:
    return WorkQueue(clock)


def drain(queue: WorkQueue[str]) -> list[str]:
    taken = []
    while len(queue):
        key = queue.get()
        assert key is not None
        taken.append(key)
        queue.done(key)
    return taken


def test_keys_come_in_the_order_in_which_they_were_first_added(queue: WorkQueue[str]) -> None:
    for key in "abacab":
        queue.add(key)
    assert drain(queue) == ["a", "b", "c"]


def test_a_key_added_while_it_is_in_work_comes_back_once_that_is_done(queue: WorkQueue[str]) -> None:
    queue.add("a")
    assert queue.get() == "a"
    queue.add("a")
    queue.add("a")
    queue.add("b")
    assert queue.get() == "b"
    queue.done("a")
    assert queue.get() == "a"
    queue.done("a")
    queue.done("b")
    assert len(queue) == 0


def take_due(queue: WorkQueue[str]) -> list[str]:
    """Works on what is due now. The first marker makes the queue look at its timers, the second one is behind them."""
    return take_until(queue, "first") + take_until(queue, "last")


def take_until(queue: WorkQueue[str], marker: str) -> list[str]:
    queue.add(marker)
    taken = []
    while (key := queue.get()) != marker:
        assert key is not None
        queue.done(key)
        taken.append(key)
    queue.done(marker)
    return taken


def test_a_delayed_key_comes_when_it_is_due_and_not_before(queue: WorkQueue[str], clock: Clock) -> None:
    queue.add_after("a", 5)
    clock.now = 4.9
    assert take_due(queue) == []
    clock.now = 5.0
    assert take_due(queue) == ["a"]
    clock.now = 100.0
    assert take_due(queue) == []


@pytest.mark.parametrize("delays", [(5, 9), (9, 5), (5, 5)])
def test_of_several_delays_the_earliest_counts_and_only_once(
    queue: WorkQueue[str], clock: Clock, delays: tuple[float, float]
) -> None:
    for delay in delays:
        queue.add_after("a", delay)
    clock.now = 5.0
    assert take_due(queue) == ["a"]
    clock.now = 10.0
    assert take_due(queue) == []


def test_asking_for_a_key_at_once_overtakes_its_delay(queue: WorkQueue[str], clock: Clock) -> None:
    queue.add_after("a", 5)
    queue.add("a")
    assert drain(queue) == ["a"]
    clock.now = 6.0
    assert take_due(queue) == []


def test_a_delay_for_a_key_that_waits_for_a_worker_adds_nothing(queue: WorkQueue[str], clock: Clock) -> None:
    queue.add("a")
    queue.add_after("a", 5)
    assert drain(queue) == ["a"]
    clock.now = 6.0
    assert take_due(queue) == []


def test_a_delay_that_ends_while_the_key_is_in_work_brings_it_back(queue: WorkQueue[str], clock: Clock) -> None:
    queue.add("a")
    assert queue.get() == "a"
    queue.add_after("a", 5)
    clock.now = 6.0
    assert take_due(queue) == []
    queue.done("a")
    assert take_due(queue) == ["a"]


def test_a_closed_queue_gives_nothing_more(queue: WorkQueue[str]) -> None:
    queue.add("a")
    queue.add("b")
    assert queue.get() == "a"
    queue.close()
    assert queue.get() is None
    queue.add("c")
    queue.add_after("c", 0)
    queue.done("a")
    assert queue.get() is None


def test_length_counts_what_waits_for_a_worker_and_what_is_in_work(queue: WorkQueue[str]) -> None:
    queue.add("a")
    queue.add("b")
    queue.add_after("c", 5)
    queue.get()
    assert len(queue) == 2


operations = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.sampled_from("abc"), st.just(0.0)),
        st.tuples(st.just("after"), st.sampled_from("abc"), st.sampled_from([0.0, 1.0, 3.0])),
        st.tuples(st.just("work"), st.just(""), st.just(0.0)),
        st.tuples(st.just("done"), st.sampled_from("abc"), st.just(0.0)),
        st.tuples(st.just("passes"), st.just(""), st.sampled_from([0.5, 2.0])),
    ),
    max_size=40,
)


class Ledger:
    """A queue, what it owes (key -> when it is due), and what is in work; complains when it gives what it must not."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.queue: WorkQueue[str] = WorkQueue(self.clock)
        self.owed: dict[str, float] = {}
        self.working: set[str] = set()

    def add(self, key: str, _: float) -> None:
        self.queue.add(key)
        self.owed[key] = self.clock.now

    def after(self, key: str, seconds: float) -> None:
        self.queue.add_after(key, seconds)
        due = self.clock.now + seconds
        self.owed[key] = min(self.owed.get(key, due), due)

    def work(self, *_: object) -> None:
        if not any(due <= self.clock.now for key, due in self.owed.items() if key not in self.working):
            return
        key = self.queue.get()
        assert key is not None
        assert key not in self.working, "worked on twice at once"
        assert self.owed.pop(key) <= self.clock.now, "too early, or not asked for"
        self.working.add(key)

    def done(self, key: str, _: float = 0) -> None:
        if key in self.working:
            self.working.discard(key)
            self.queue.done(key)

    def passes(self, _: str, seconds: float) -> None:
        self.clock.now += seconds


@given(operations)
def test_every_request_is_followed_by_work_that_begins_after_it(steps: list[tuple[str, str, float]]) -> None:
    ledger = Ledger()
    for step, key, seconds in steps:
        getattr(ledger, step)(key, seconds)
    ledger.passes("", 10)
    while ledger.owed or ledger.working:
        for key in list(ledger.working):
            ledger.done(key)
        ledger.work()
    ledger.add("last", 0)
    ledger.work()
    assert len(ledger.queue) == 1, "something comes that was not asked for"


# -- real threads ---------------------------------------------------------------------------------------------------


class Crew:
    """Worker threads on a queue; `work` is called with each key."""

    def __init__(self, queue: WorkQueue[str], number: int, work: Callable[[str], None]) -> None:
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


def test_closing_wakes_every_waiting_worker() -> None:
    queue: WorkQueue[str] = WorkQueue(time.monotonic)
    queue.add_after("far", 3600)
    assert Crew(queue, 8, lambda key: None).end()


def test_many_threads_never_work_on_one_key_at_once_and_miss_nothing() -> None:
    queue: WorkQueue[str] = WorkQueue(time.monotonic)
    keys = [f"key {number}" for number in range(6)]
    asked: Counter[str] = Counter()
    served: dict[str, int] = {}
    at_work: Counter[str] = Counter()
    overlaps: list[str] = []
    lock, settled = threading.Lock(), threading.Condition()

    def work(key: str) -> None:
        with lock:
            at_work[key] += 1
            if at_work[key] > 1:
                overlaps.append(key)
            seen = asked[key]
        time.sleep(0.0002)  # the work itself
        with lock:
            at_work[key] -= 1
        with settled:
            served[key] = seen
            settled.notify_all()

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
    askers = [threading.Thread(target=ask, args=(seed,)) for seed in range(4)]
    for thread in askers:
        thread.start()
    for thread in askers:
        thread.join()
    with settled:
        assert settled.wait_for(lambda: served == dict(asked), 20), "a request was never followed by work"
    assert crew.end()
    assert overlaps == []


def test_an_earlier_delay_is_kept_though_all_workers_wait_for_a_later_one() -> None:
    queue: WorkQueue[str] = WorkQueue(time.monotonic)
    came: list[str] = []
    done = threading.Semaphore(0)

    def work(key: str) -> None:
        came.append(key)
        done.release()

    queue.add_after("far", 3600)
    crew = Crew(queue, 4, work)
    for number in range(12):
        queue.add_after(f"late {number}", 0.08)
        queue.add_after(f"soon {number}", 0.02)
        queue.add(f"now {number}")
    for _ in range(36):
        assert done.acquire(timeout=10), f"only {came} came"
    assert crew.end()
    assert "far" not in came


def test_a_worker_that_is_long_at_work_does_not_take_the_others_timers_with_it() -> None:
    queue: WorkQueue[str] = WorkQueue(time.monotonic)
    release, came = threading.Event(), threading.Event()

    def work(key: str) -> None:
        (came.set if key == "timer" else lambda: release.wait(20))()

    crew = Crew(queue, 3, work)
    for number in range(2):  # each wakes a worker, which then knows of the timer and goes off to work
        queue.add_after("timer", 0.3)
        queue.add(f"long {number}")
    assert came.wait(10)
    release.set()
    assert crew.end()
