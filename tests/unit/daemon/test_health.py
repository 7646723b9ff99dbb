"""Heartbeats, the watchdog and the messages to systemd, over a real notification socket."""

from __future__ import annotations

import os
import time

import pytest
from kubernetes.client import Configuration

from podagent.act.reconciler import LOOKUP_ALLOWANCE_S
from podagent.daemon.health import Heartbeats, Watchdog
from podagent.daemon.notify import Notifier
from podagent.kube.api import KubeApi
from podagent.runtimes.docker import LOOKUP_S
from unit.daemon.manager import Manager
from unit.factory import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


def watched(manager: Manager) -> dict[str, str]:
    return {**manager.environ, "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}


def test_a_loop_is_overdue_when_a_step_outlives_its_allowance_until_it_moves_on_is_idle_or_starts_again(
    clock: Clock,
) -> None:
    beats = Heartbeats(clock)
    worker, watch = beats.register("worker"), beats.register("watch")
    clock.now += 1e9
    assert beats.overdue() == [], "both are idle"
    watch.working(60)
    for recover in (lambda: worker.working(10), worker.idle, lambda: beats.register("worker")):
        worker.working(10)
        clock.now += 10
        assert beats.overdue() == []
        clock.now += 1
        assert beats.overdue() == ["worker"]
        recover()
        assert beats.overdue() == []


def test_no_answer_that_is_slow_or_drips_outlasts_the_time_that_a_step_may_take() -> None:
    definition_of_the_pods_namespace_and_of_default = 2 * KubeApi(Configuration).patience_s
    assert LOOKUP_S + definition_of_the_pods_namespace_and_of_default < LOOKUP_ALLOWANCE_S


def test_every_stage_is_notified_the_status_in_one_line_of_utf8_and_once(manager: Manager) -> None:
    notifier = Notifier(manager.environ)
    notifier.ready()
    notifier.status("pod Zürich/東京\nREADY=1")
    notifier.status("pod Zürich/東京 READY=1")
    notifier.watchdog()
    notifier.stopping(25)
    stopping = "STOPPING=1\nEXTEND_TIMEOUT_USEC=25000000"
    assert manager.received() == ["READY=1", "STATUS=pod Zürich/東京 READY=1", "WATCHDOG=1", stopping]
    before = time.monotonic_ns() // 1000
    notifier.reloading()
    (message,) = manager.received()
    first, second = message.split("\n")
    assert first == "RELOADING=1"
    assert before <= int(second.removeprefix("MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000


def test_an_abstract_socket_is_reached() -> None:
    manager = Manager(f"@podagent-test-{os.getpid()}")
    try:
        Notifier(manager.environ).ready()
        assert manager.received() == ["READY=1"]
    finally:
        manager.close()


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "/nonexistent/notify"}])
def test_without_a_manager_nothing_happens(environ: dict[str, str]) -> None:
    notifier = Notifier(environ)
    notifier.ready()
    notifier.status("x")


def test_the_watchdog_pings_while_all_is_well_also_if_it_is_for_any_process_of_the_service(
    manager: Manager, clock: Clock
) -> None:
    environ = watched(manager)
    for _ in range(2):
        watchdog = Watchdog(Heartbeats(clock), Notifier(environ), environ)
        assert watchdog.interval_s == pytest.approx(10.0)
        assert watchdog.run_once()
        assert watchdog.run_once()
        assert manager.received() == ["WATCHDOG=1", "WATCHDOG=1"]
        environ.pop("WATCHDOG_PID", None)


def test_the_watchdog_withholds_the_ping_and_names_the_stuck_loop_once_each_time_it_is_stuck(
    manager: Manager, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    environ = watched(manager)
    beats = Heartbeats(clock)
    watchdog = Watchdog(beats, Notifier(environ), environ)
    beat = beats.register("worker-3")
    beat.working(5)
    clock.now += 6
    assert [watchdog.run_once(), watchdog.run_once()] == [False, False]
    beat.idle()
    assert watchdog.run_once()
    assert manager.received() == ["WATCHDOG=1"]
    beat.working(5)
    clock.now += 6
    assert not watchdog.run_once()
    assert [record.getMessage() for record in caplog.records] == [
        "worker-3 makes no progress; systemd will restart the agent",
        "worker-3 makes progress again",
        "worker-3 makes no progress; systemd will restart the agent",
    ]
    assert manager.received() == []


@pytest.mark.parametrize(("name", "value"), [("PID", "1"), ("USEC", "0"), ("USEC", ""), ("USEC", "-5"), ("USEC", "x")])
def test_no_ping_is_sent_that_was_not_asked_of_this_process(
    manager: Manager, clock: Clock, name: str, value: str
) -> None:
    environ = watched(manager) | {f"WATCHDOG_{name}": value}
    watchdog = Watchdog(Heartbeats(clock), Notifier(environ), environ)
    assert watchdog.run_once()
    assert watchdog.interval_s > 0
    assert manager.received() == []
