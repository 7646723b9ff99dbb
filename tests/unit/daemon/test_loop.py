"""The main loop: what wakes it, what it does then, and how it ends."""

from __future__ import annotations

import logging
import queue
import random
import signal
import time
from pathlib import Path

import pytest

from podagent.daemon.health import Heartbeats, Watchdog
from podagent.daemon.loop import LOOP_DIED, RELOADED, WAKE, Loop
from podagent.daemon.notify import Notifier
from podagent.daemon.podtable import PodTable
from podagent.daemon.rounds import Rounds
from podagent.daemon.workqueue import WorkQueue
from podagent.model import PodKey
from unit.daemon.manager import Manager
from unit.factory import pod
from unit.stores import store_in


class Bench:
    """A loop that receives one number in each turn; None: nothing arrives until the next duty."""

    def __init__(self, manager: Manager, directory: Path, resync_s: float = 0.0) -> None:
        environ = manager.environ | {"WATCHDOG_USEC": "180000000"}
        notifier = Notifier(environ)
        table = PodTable(lambda pod: None, lambda: None, dict, lambda pod: None)
        table.replace([pod()])
        self.manager, self._notifier = manager, notifier
        self.queue: WorkQueue[PodKey] = WorkQueue(time.monotonic)
        self.pods_in_work = 0
        rounds = Rounds(table, store_in(directory), self.queue, resync_s, random.Random(1), time.monotonic)
        self._received: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._turns = 0
        self._script: list[int | None] = []
        self.loop = Loop(
            Watchdog(Heartbeats(), notifier, environ),
            notifier,
            rounds,
            self._status,
            lambda: self.pods_in_work,
            self._reload,
            self._received,
        )

    def run(self, *script: int | None) -> int:
        self._script = list(script)
        return self.loop.run()

    def notified(self) -> list[str]:
        """The messages to the manager, without time stamps."""
        return [message.split("\n")[0] for message in self.manager.received()]

    def _reload(self) -> None:
        self._notifier.status("reload")
        self._received.put(RELOADED)

    def _status(self) -> str:
        self._turns += 1
        number = self._script.pop(0)
        if number is not None:
            self._received.put(number)
        return f"status {self._turns}"


@pytest.fixture
def bench(manager: Manager, tmp_path: Path) -> Bench:
    return Bench(manager, tmp_path)


@pytest.mark.parametrize(
    ("number", "line"),
    [(signal.SIGTERM, "SIGTERM received: stopping"), (signal.SIGINT, "SIGINT received: stopping"), (LOOP_DIED, "")],
)
def test_a_signal_to_end_is_logged_and_ends_it_as_does_the_death_of_a_thread(
    bench: Bench, number: int, line: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "podagent")
    assert bench.run(number) == number
    assert bench.notified() == ["WATCHDOG=1", "STATUS=status 1"]
    assert line in caplog.text


def test_sighup_starts_a_reload_and_ready_follows_when_it_is_done(bench: Bench) -> None:
    bench.run(signal.SIGHUP, None, signal.SIGTERM)
    assert bench.notified()[2:7] == ["RELOADING=1", "STATUS=reload", "WATCHDOG=1", "STATUS=status 2", "READY=1"]


def test_a_change_of_the_status_is_shown_at_once_and_the_watchdog_pinged(bench: Bench) -> None:
    bench.run(WAKE, signal.SIGTERM)
    assert bench.notified() == ["WATCHDOG=1", "STATUS=status 1", "WATCHDOG=1", "STATUS=status 2"]


def test_when_nothing_arrives_until_a_resync_is_due_it_is_made(manager: Manager, tmp_path: Path) -> None:
    bench = Bench(manager, tmp_path, resync_s=0.001)
    bench.run(None, signal.SIGTERM)
    assert bench.notified() == ["WATCHDOG=1", "STATUS=status 1", "WATCHDOG=1", "STATUS=status 2"]
    assert len(bench.queue) == 1


def test_while_pods_are_in_work_the_status_is_renewed_more_often(bench: Bench) -> None:
    assert bench.loop._seconds_to_next_duty() == 60.0
    bench.pods_in_work = 1
    assert bench.loop._seconds_to_next_duty() == 1.0
