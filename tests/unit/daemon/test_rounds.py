"""Which pods are looked at, when, and how thoroughly."""

from __future__ import annotations

import random

import pytest

from podagent.act.ports import Expect
from podagent.daemon.podtable import PodTable
from podagent.daemon.rounds import Rounds
from podagent.daemon.workqueue import WorkQueue
from podagent.model import PodKey
from unit.factory import key, pod

LISTED, RECORDED = key("listed"), key("recorded")


class Bench:
    """Rounds over one pod that is listed and one that is only recorded; the clock stands still."""

    def __init__(self, period_s: float = 100.0) -> None:
        self.now = 0.0
        self.queue: WorkQueue[PodKey] = WorkQueue(lambda: self.now)
        self.table = PodTable(lambda pod: None, lambda: None)
        self.rounds = Rounds(self.table, self, self.queue, period_s, random.Random(1), lambda: self.now)
        self.verified: list[tuple[PodKey, bool]] = []

    def pods(self) -> list[PodKey]:
        return [RECORDED]

    def list(self) -> None:
        self.table.replace([pod(uid="listed")])

    def queued(self) -> set[PodKey]:
        return {found for _ in range(len(self.queue)) if (found := self.queue.get())}

    def reconcile(self, key: PodKey, *, verify: bool, expect: Expect) -> float | None:
        self.verified.append((key, verify))
        return None


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_before_the_first_complete_list_nothing_is_looked_at(bench: Bench) -> None:
    bench.rounds.look_at(LISTED)
    bench.rounds.look_at_all()
    assert len(bench.queue) == 0


def test_a_hint_makes_one_pod_be_looked_at_without_verifying(bench: Bench) -> None:
    bench.list()
    bench.rounds.look_at(LISTED)
    assert bench.queued() == {LISTED}
    bench.rounds.verifying(bench.reconcile)(LISTED, lambda seconds: None)
    assert bench.verified == [(LISTED, False)]


def test_a_look_at_all_takes_in_pods_that_are_only_recorded_and_verifies_each_once(bench: Bench) -> None:
    bench.list()
    bench.rounds.look_at_all()
    assert bench.queued() == {LISTED, RECORDED}
    reconcile = bench.rounds.verifying(bench.reconcile)
    for _ in range(2):
        reconcile(RECORDED, lambda seconds: None)
    assert bench.verified == [(RECORDED, True), (RECORDED, False)]


def test_the_resync_looks_at_all_pods_once_a_period_give_or_take_a_tenth(bench: Bench) -> None:
    bench.list()
    assert 90 <= bench.rounds.seconds_to_resync() <= 110
    bench.rounds.resync_if_due()
    assert len(bench.queue) == 0
    bench.now += 111
    assert bench.rounds.seconds_to_resync() == 0
    bench.rounds.resync_if_due()
    assert len(bench.queue) == 2
    assert bench.rounds.seconds_to_resync() >= 90


def test_without_a_period_there_is_no_resync() -> None:
    bench = Bench(period_s=0)
    assert bench.rounds.seconds_to_resync() == float("inf")
    bench.now = 1e9
    bench.rounds.resync_if_due()
    assert len(bench.queue) == 0
