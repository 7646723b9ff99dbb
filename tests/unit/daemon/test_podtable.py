"""The pods as last described, and the reports of those that need a look."""

from __future__ import annotations

from typing import Any

import pytest

from podagent.daemon.podtable import PodTable
from podagent.errors import AbsenceUnconfirmed, PodNotGone
from podagent.model import Pod, PodKey
from unit.factory import Clock, key, pod


class Table(PodTable):
    """Remembers whom it called. `attached`: attachments by pod; `existing`: pods that the API server has."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.time = Clock()
        self.attached: dict[PodKey, int] = {}
        self.existing: set[PodKey] = set()
        super().__init__(
            lambda pod: self.calls.append(pod.uid),
            lambda: self.calls.append("complete"),
            lambda: self.attached,
            self._ask,
            self.time,
        )

    def _ask(self, pod: PodKey) -> None:
        if pod in self.existing:
            raise PodNotGone(pod)

    def attach(self, networks: int, *uids: str) -> None:
        self.attached |= {key(uid): networks for uid in uids}

    def held(self, *uids: str) -> set[str]:
        """Those of the absent pods that must wait for another list."""
        return {uid for uid in uids if self._is_held(uid)}

    def _is_held(self, uid: str) -> bool:
        try:
            self.confirm_gone(key(uid))
        except AbsenceUnconfirmed:
            return True
        return False


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
    observed: PodTable = PodTable(
        lambda changed: seen.append(observed.get(changed)), lambda: None, dict, lambda pod: None, Clock()
    )
    observed.replace([])
    observed.upsert(pod(uid="a"))
    observed.remove(pod(uid="a"))
    assert seen == [pod(uid="a"), None]


def test_a_pod_has_the_time_when_its_annotations_were_received_first(synced: Table) -> None:
    received = []
    for networks, phase in [("[]", "Pending"), ("[]", "Running"), ("[{}]", "Running"), ("[{}]", "Failed")]:
        synced.time.now += 1
        synced.upsert(pod(networks, uid="a", phase=phase))
        received.append(synced.get(key("a")))
    synced.time.now += 1
    synced.replace([pod("[{}]", uid="a"), pod("[]", uid="b")])
    received += [synced.get(key(uid)) for uid in "ab"]
    assert [each and each.asked_at for each in received] == [1, 1, 3, 3, 3, 5]


def test_the_end_of_an_old_mirror_does_not_take_the_static_pods_new_one_away(synced: Table) -> None:
    old = pod(uid="hash")._replace(object_uid="mirror-1", static=True)
    new = old._replace(object_uid="mirror-2")
    synced.upsert(old)
    synced.upsert(new)
    synced.remove(old)
    assert synced.get(key("hash")) == new
    synced.remove(new)
    assert synced.get(key("hash")) is None


# --- pods that a list lacks


@pytest.mark.parametrize("first", [True, False])
def test_a_list_that_lacks_most_attachments_is_believed_once_another_one_confirms_it(table: Table, first: bool) -> None:
    if not first:
        table.replace([pod(uid=uid) for uid in "abc"])
    table.attach(4, "a", "b", "c")
    table.replace([pod(uid="a")])
    assert table.confirmed is False
    assert (table.doubted, table.held("b", "c")) == (2, {"b", "c"})
    table.calls.clear()
    table.replace([pod(uid="a")])
    assert table.confirmed is True
    assert (sorted(table.calls), table.doubted, table.held("b", "c")) == (["b", "c"], 0, set())
    table.replace([pod(uid="a")])
    assert table.confirmed is True, "while they are detached they are no news"


def test_only_the_pods_that_two_lists_lack_are_believed_to_be_gone(table: Table) -> None:
    table.attach(4, "a", "b", "c")
    table.replace([])
    table.upsert(pod(uid="a"))
    table.replace([pod(uid="b")])
    assert table.confirmed is False
    assert table.held("a", "c") == {"a"}


@pytest.mark.parametrize(
    ("listed", "attached"),
    [("ab", {"a": 4, "b": 4, "c": 8}), ("", {"a": 7}), ("c", {"a": 1, "b": 1, "c": 9})],
    ids=["half", "few", "few of many"],
)
def test_a_list_that_lacks_half_or_few_of_the_attachments_is_believed(
    table: Table, listed: str, attached: dict[str, int]
) -> None:
    for uid, networks in attached.items():
        table.attach(networks, uid)
    table.replace([pod(uid=uid) for uid in listed])
    assert table.confirmed is True
    assert table.held(*attached) == set()


def test_pods_that_left_one_by_one_are_not_doubted_when_a_list_lacks_them(table: Table) -> None:
    pods = [pod(uid=uid) for uid in "ab"]
    table.attach(8, "a", "b")
    table.replace(pods)
    for each in pods:
        table.remove(each)
    table.replace([])
    assert table.confirmed is True
    table.existing.add(key("a"))
    with pytest.raises(PodNotGone):
        table.confirm_gone(key("a"))
    assert table.confirmed is False
    table.confirm_gone(key("b"))
