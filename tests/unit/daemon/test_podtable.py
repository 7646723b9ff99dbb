"""The pods as last described, and the reports of those that need a look."""

from __future__ import annotations

from typing import Any

import pytest

from podagent.daemon.podtable import PodTable
from podagent.model import Pod
from unit.factory import key, pod


class Table(PodTable):
    """Remembers whom it called."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        super().__init__(lambda pod: self.calls.append(pod.uid), lambda: self.calls.append("complete"))


@pytest.fixture
def table() -> Table:
    return Table()


@pytest.fixture
def synced(table: Table) -> Table:
    table.replace([pod(uid="a"), pod(uid="b")])
    table.calls.clear()
    return table


def test_nothing_is_reported_before_the_first_complete_list_which_may_be_empty(table: Table) -> None:
    table.upsert(pod(uid="a"))
    table.upsert(pod("[]", uid="a"))
    table.remove(pod(uid="a"))
    assert (table.calls, table.synced) == ([], False)
    table.replace(iter([]))
    assert table.calls == ["complete"]


def test_the_first_list_is_reported_once_as_a_whole(table: Table) -> None:
    table.upsert(pod(uid="stale"))
    table.replace([pod(uid="a"), pod(uid="b")])
    assert (table.calls, table.synced) == (["complete"], True)
    assert set(table.keys()) == {key("a"), key("b")}


def test_a_later_list_reports_only_pods_that_came_went_or_changed(synced: Table) -> None:
    synced.replace([pod(uid="a", phase="Failed"), pod(uid="c")])
    assert sorted(synced.calls) == ["a", "b", "c"]
    synced.calls.clear()
    synced.replace([pod(uid="c"), pod(uid="a", phase="Failed")])
    assert synced.calls == []


def test_a_pod_that_left_is_reported_and_gone_but_a_repetition_or_the_leaving_of_an_unknown_pod_is_no_news(
    synced: Table,
) -> None:
    synced.upsert(pod(uid="a"))
    synced.remove(pod(uid="c"))
    assert synced.calls == []
    synced.remove(pod(uid="a"))
    assert (synced.calls, synced.get(key("a")), synced.keys()) == (["a"], None, [key("b")])


@pytest.mark.parametrize("change", [{"networks": "[]"}, {"phase": "Failed"}, {"incarnation": "2"}, {"object_uid": "x"}])
def test_every_change_of_a_pod_is_reported(synced: Table, change: dict[str, Any]) -> None:
    synced.upsert(pod(uid="a", **change))
    assert synced.calls == ["a"]


def test_a_change_that_is_reported_can_be_read_at_once() -> None:
    seen: list[Pod | None] = []
    observed: PodTable = PodTable(lambda changed: seen.append(observed.get(changed)), lambda: None)
    observed.replace([])
    observed.upsert(pod(uid="a"))
    observed.remove(pod(uid="a"))
    assert seen == [pod(uid="a"), None]


def test_the_end_of_an_old_mirror_does_not_take_the_static_pods_new_one_away(synced: Table) -> None:
    old = pod(uid="hash")._replace(object_uid="mirror-1", static=True)
    new = old._replace(object_uid="mirror-2")
    synced.upsert(old)
    synced.upsert(new)
    synced.remove(old)
    assert synced.get(key("hash")) == new
    synced.remove(new)
    assert synced.get(key("hash")) is None
