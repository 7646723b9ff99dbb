"""The worker threads: they survive bugs, come back when told to, and tell the watchdog how long a step may take."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from factory import attachment, invocation, pod, record, sandbox

from lab.waiting import eventually
from podagent.daemon.workers import STEP_ALLOWANCE, WatchedCni, WatchedNetworks, Workers
from podagent.daemon.workqueue import WorkQueue
from podagent.errors import PluginError
from podagent.model import Invocation, Via


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

    def __init__(self, reconcile: Callable[[str], float | None], number: int) -> None:
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

    def make(reconcile: Callable[[str], float | None], number: int = 1) -> Crew:
        crews.append(Crew(reconcile, number))
        return crews[-1]

    yield make
    assert [crew.end() for crew in crews] == [0] * len(crews)


def test_comes_back_to_a_pod_when_it_was_told_to(start: Start) -> None:
    waits = iter([0.01, 0.02, None])
    seen: list[str] = []

    def reconcile(uid: str) -> float | None:
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

    def reconcile(uid: str) -> None:
        seen.append(uid)
        if uid == "bad":
            raise ZeroDivisionError("bug")

    crew = start(reconcile)
    for uid in ("bad", "good"):
        crew.queue.add(uid)
    eventually(lambda: seen == ["bad", "good"])
    assert "internal error at work on pod bad" in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_as_many_pods_are_worked_on_at_once_as_there_are_workers(start: Start) -> None:
    together = threading.Barrier(4, timeout=10)
    passed: list[str] = []

    def reconcile(uid: str) -> None:
        together.wait()
        passed.append(uid)

    crew = start(reconcile, 4)
    for number in range(8):
        crew.queue.add(str(number))
    eventually(lambda: len(passed) == 8)


def test_says_how_long_work_may_take_and_that_it_is_idle_afterwards(start: Start) -> None:
    crew = start(lambda uid: crew.workers.expect(7) or None)
    crew.queue.add("a")
    eventually(lambda: crew.beats["worker 1"].said == [STEP_ALLOWANCE, 7, "idle"])
    crew.workers.expect(9)
    assert crew.beats["worker 1"].said == [STEP_ALLOWANCE, 7, "idle"], "this thread is no worker"


def test_waiting_for_the_end_tells_how_many_are_still_at_work(start: Start) -> None:
    release = threading.Event()
    crew = start(lambda uid: release.wait(20) and None, 2)
    crew.queue.add("a")
    eventually(lambda: crew.beats["worker 1"].said or crew.beats["worker 2"].said)
    crew.queue.close()
    assert crew.workers.join(0.05) == 1
    release.set()
    assert crew.workers.join(10) == 0


# -- what may take long ---------------------------------------------------------------------------------------------


class Cni:
    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    def add(self, *facts: Any) -> dict[str, Any]:
        if self.error:
            raise self.error
        return {"ips": []}

    def delete(self, *facts: Any) -> None:
        self.add()


CHAIN: Invocation = invocation("red", netconf={"plugins": [{"type": "bridge"}, {"type": "tuning"}]})


def test_an_operation_may_take_as_long_as_all_its_plugins_and_what_follows_is_counted_anew() -> None:
    beat = Beat()
    cni = WatchedCni(Cni(), beat.working, plugin_timeout=120)
    assert cni.add(CHAIN, record("red").target) == {"ips": []}
    cni.delete(CHAIN, record("red").target, None)
    assert beat.said == [2 * 130 + STEP_ALLOWANCE, STEP_ALLOWANCE] * 2


def test_after_a_failed_operation_it_is_counted_anew_too() -> None:
    beat = Beat()
    cni = WatchedCni(Cni(PluginError("bridge", "x")), beat.working, plugin_timeout=120)
    target = record("red").target
    for operation in (lambda: cni.add(CHAIN, target), lambda: cni.delete(CHAIN, target, None)):
        with pytest.raises(PluginError):
            operation()
        assert beat.said[-1] == STEP_ALLOWANCE


def test_each_network_of_a_pod_is_a_step_of_its_own_however_slow_the_api_server_is() -> None:
    class Networks:
        def prepare(self, *facts: Any) -> tuple[Via, Invocation]:
            return Via.DELEGATE, CHAIN

    beat = Beat()
    watched = WatchedNetworks(Networks(), beat.working)
    for name in ("red", "green", "blue"):
        assert watched.prepare(pod(), attachment(name), sandbox()) == (Via.DELEGATE, CHAIN)
    assert beat.said == [STEP_ALLOWANCE] * 3
