"""The main loop: what wakes it, what it does then, and how it ends."""

from __future__ import annotations

import logging
import queue
import signal

import pytest

from podagent.daemon.loop import LOOP_DIED, WAKE, Loop


class Bench:
    """A loop whose every turn is one status; `after` says what arrives after which of them."""

    def __init__(self, after: dict[int, int]) -> None:
        self.interval_s = 60.0
        self.to_resync_s = 60.0
        self.pods_in_work = 0
        self.said: list[str] = []
        self._after = after
        self._turns = 0
        self.received: queue.SimpleQueue[int] = queue.SimpleQueue()
        self.loop = Loop(self, self, self, self._next_status, lambda: self.pods_in_work, self._reload, self.received)

    def run_once(self) -> bool:
        self.said.append("ping")
        return True

    def ready(self) -> None:
        self.said.append("ready")

    def reloading(self) -> None:
        self.said.append("reloading")

    def status(self, text: str) -> None:
        self.said.append(text)
        self._turns += 1
        if self._turns in self._after:
            self.received.put(self._after[self._turns])

    def seconds_to_resync(self) -> float:
        return self.to_resync_s

    def resync_if_due(self) -> None:
        self.said.append("resync")

    def _next_status(self) -> str:
        return f"status {self._turns + 1}"

    def _reload(self) -> None:
        self.said.append("reload")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_end_is_told_and_ends_it(number: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "podagent")
    bench = Bench({1: number})
    assert bench.loop.run() == number
    assert bench.said == ["ping", "status 1"]
    assert f"{signal.Signals(number).name} received: stopping" in caplog.text


def test_the_death_of_a_thread_ends_it_too() -> None:
    assert Bench({1: LOOP_DIED}).loop.run() == LOOP_DIED


def test_sighup_reloads_between_reloading_and_ready() -> None:
    bench = Bench({1: signal.SIGHUP, 2: signal.SIGTERM})
    bench.loop.run()
    assert bench.said == ["ping", "status 1", "reloading", "reload", "ready", "ping", "status 2"]


def test_a_change_of_the_status_is_shown_at_once() -> None:
    bench = Bench({1: WAKE, 2: signal.SIGTERM})
    bench.loop.run()
    assert bench.said == ["ping", "status 1", "ping", "status 2"]


def test_when_nothing_arrives_it_pings_in_time_and_looks_whether_a_resync_is_due() -> None:
    bench = Bench({2: signal.SIGTERM})
    bench.to_resync_s = 0.001
    bench.loop.run()
    assert bench.said == ["ping", "status 1", "resync", "ping", "status 2"]


def test_while_pods_are_in_work_the_status_is_renewed_more_often() -> None:
    bench = Bench({})
    bench.pods_in_work = 1
    assert bench.loop._seconds_to_next_duty() == 1.0
    bench.pods_in_work = 0
    assert bench.loop._seconds_to_next_duty() == 60.0
