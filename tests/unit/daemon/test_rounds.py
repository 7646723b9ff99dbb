"""Which pods are looked at, when, and how thoroughly."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from podagent.act.ports import Expect
from podagent.act.reconciler import unwatched
from podagent.daemon.podtable import PodTable
from podagent.daemon.rounds import Rounds
from podagent.daemon.workqueue import WorkQueue
from podagent.model import PodKey
from unit.factory import key, pod, record
from unit.stores import store_in

LISTED, RECORDED = key("listed"), key("recorded")


class Bench:
    """Rounds over one pod that is listed and one that is only recorded; the clock stands still."""

    def __init__(self, directory: Path, period_s: float = 100.0) -> None:
        self.now = 0.0
        self.queue: WorkQueue[PodKey] = WorkQueue(lambda: self.now)
        store = store_in(directory)
        self.table = PodTable(lambda pod: None, lambda: None, store.attachments, lambda pod: None)
        store.put(record("red", RECORDED.uid))
        self.rounds = Rounds(self.table, store, self.queue, period_s, random.Random(1), lambda: self.now)
        self.verified: list[tuple[PodKey, bool]] = []

    def receive_the_list(self) -> None:
        self.table.replace([pod(uid=LISTED.uid)])

    def queued(self) -> set[PodKey]:
        return {found for _ in range(len(self.queue)) if (found := self.queue.get())}

    def visit(self, key: PodKey) -> bool:
        """Whether the pod is verified when it is looked at now."""

        def reconcile(key: PodKey, *, verify: bool, expect: Expect) -> None:
            self.verified.append((key, verify))

        self.rounds.verifying(reconcile)(key, unwatched)
        assert self.verified[-1][0] == key
        return self.verified[-1][1]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_hint_makes_one_pod_be_looked_at_without_verifying_once_there_is_a_complete_list(bench: Bench) -> None:
    bench.rounds.look_at(LISTED)
    bench.rounds.look_at_all()
    assert len(bench.queue) == 0
    bench.receive_the_list()
    bench.rounds.look_at(LISTED)
    assert bench.queued() == {LISTED}
    assert not bench.visit(LISTED)


def test_a_look_at_all_takes_in_pods_that_are_only_recorded_and_verifies_each_once(bench: Bench) -> None:
    bench.receive_the_list()
    bench.rounds.look_at_all()
    assert bench.queued() == {LISTED, RECORDED}
    assert [bench.visit(RECORDED), bench.visit(RECORDED), bench.visit(LISTED)] == [True, False, True]


def test_the_resync_looks_at_all_pods_once_a_period_give_or_take_a_tenth(bench: Bench) -> None:
    bench.receive_the_list()
    assert 90 <= bench.rounds.seconds_to_resync() <= 110
    bench.rounds.resync_if_due()
    assert len(bench.queue) == 0
    bench.now += 111
    assert bench.rounds.seconds_to_resync() == 0
    bench.rounds.resync_if_due()
    assert len(bench.queue) == 2
    assert bench.rounds.seconds_to_resync() >= 90


def test_without_a_period_there_is_no_resync(tmp_path: Path) -> None:
    bench = Bench(tmp_path, period_s=0)
    bench.receive_the_list()
    bench.now = 1e9
    bench.rounds.resync_if_due()
    assert (bench.rounds.seconds_to_resync(), len(bench.queue)) == (float("inf"), 0)
