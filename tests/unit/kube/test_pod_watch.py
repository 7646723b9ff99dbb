"""The watch on a scripted API server: the requests it makes, its waits, and the pods it passes on."""

from __future__ import annotations

import logging

import pytest

from podagent.errors import ApiError, KubeconfigError
from podagent.foreign import Json
from podagent.kube.watch import Pace
from unit.kube.kube_script import LASTING, NODE, World, line, page

Log = pytest.LogCaptureFixture

BROKEN = ConnectionResetError("connection reset")
UNREACHABLE = ApiError("no route to host")
EXPIRED = ApiError("too old", 410)
UNREADABLE = b"<html>please log in</html>\n"


def about(*seconds: float) -> object:
    """Waits of so many seconds each, give or take a fifth."""
    return pytest.approx(list(seconds), rel=0.2)


def test_the_pages_of_a_list_are_passed_on_as_one_and_then_every_change_of_a_pod() -> None:
    changes = [line("ADDED", "new", "8"), line("MODIFIED", "web", "9"), line("DELETED", "db", "10")]
    others = [line("NEWS", "x", "11"), line("ADDED", "", "12"), line("DELETED", "", "13")]
    world = World(
        page("web", more="p2"), page("db", version="7"), changes, [*others, LASTING], [], pace=Pace(page_size=1)
    )
    assert world.run() == ["list", "list after p2", "watch from 7", "watch from 10", "watch from 13"]
    assert world.pods == ["all: web db", "there: new", "there: web", "gone: db"]
    assert [query.get("limit") for query in world.api.queries[:3]] == ["1", "1", None]


def test_a_list_that_must_be_confirmed_is_followed_by_another_one_after_a_short_watch() -> None:
    world = World(page(), [line("ADDED", "new", "2"), LASTING], page(version="5"), [LASTING], [LASTING])
    world.doubts = 1
    assert world.run() == ["list", "watch from 1", "list", "watch from 5", "watch from 5"]
    assert world.waits == []
    assert [query.get("timeoutSeconds") for query in world.api.queries[:2]] == [None, "5"]
    assert world.pods == ["all:", "there: new", "all:"]


@pytest.mark.parametrize(("first", "found"), [(page("web"), 0), (page(), 2)], ids=["by the first list", "by a watch"])
def test_as_long_as_there_was_no_pod_something_else_is_asked_before_each_watch(first: Json, found: int) -> None:
    asked: list[bool] = []
    world = World(
        first, [LASTING], [line("ADDED", "new", "8"), LASTING], [line("DELETED", "new", "9"), LASTING], [LASTING]
    )
    world.while_empty = lambda: asked.append(True)
    world.run()
    assert len(asked) == found


def test_living_pods_of_the_node_are_asked_for_in_watches_of_random_lifetimes() -> None:
    world = World(page(), *[[LASTING]] * 20)
    world.run()
    selector = f"spec.nodeName={NODE},status.phase!=Succeeded,status.phase!=Failed"
    assert {query["fieldSelector"] for query in world.api.queries} == {selector}
    lifetimes = {int(query["timeoutSeconds"]) for query in world.api.queries[1:]}
    assert len(lifetimes) > 3
    assert lifetimes <= set(range(25, 36))


def test_a_watch_that_ended_after_lasting_or_broke_is_resumed_at_once_from_the_last_bookmark() -> None:
    eighth, ninth = line("BOOKMARK", version="8"), line("BOOKMARK", version="9")
    world = World(page(), [eighth, LASTING], [LASTING], [ninth, BROKEN], [LASTING])
    assert world.run() == ["list", "watch from 1", "watch from 8", "watch from 8", "close idle", "watch from 9"]
    assert world.waits == []
    world = World(page(), *[[2.0]] * 5, pace=Pace(lifetime_s=(4, 4)))
    world.run()
    assert world.waits == [], "half a short lifetime is lasting too"


def test_a_server_that_ends_every_watch_at_once_is_waited_for_ever_longer() -> None:
    world = World(page(), *[[]] * 10)
    assert world.run() == ["list", *["watch from 1"] * 10]
    assert world.waits == about(2, 4, 8, 16, *[30] * 5)


def test_a_watch_that_lasted_makes_the_next_failure_a_first_one() -> None:
    world = World(page(), [BROKEN], [BROKEN], [LASTING, BROKEN], [BROKEN])
    assert world.run() == ["list", *["watch from 1", "close idle"] * 4]
    assert world.waits == about(2, 2), "after the second, and after the one after the third"


def test_an_unreadable_event_costs_a_resume_and_the_next_one_a_list_unless_it_comes_long_after() -> None:
    world = World(page(), [UNREADABLE], [UNREADABLE], page(version="5"), [UNREADABLE], page(version="6"), [LASTING])
    assert world.run() == ["list", "watch from 1", "watch from 1", "list", "watch from 5", "list", "watch from 6"]
    assert world.waits == about(2, 4), "only the first is free"
    world = World(page(), [UNREADABLE], [LASTING, UNREADABLE], [LASTING], [UNREADABLE], [LASTING])
    assert world.run() == ["list", *["watch from 1"] * 5]
    assert world.waits == []


def test_a_version_that_expired_is_listed_again_at_once_and_not_in_a_storm(caplog: Log) -> None:
    caplog.set_level(logging.INFO)
    again, expires = page(version="2"), line("ERROR", code=410, message="too old")
    world = World(again, EXPIRED, again, EXPIRED, again, EXPIRED, again, [LASTING, expires], again, [LASTING])
    assert world.run() == ["list", "watch from 2"] * 5
    assert world.waits == about(2, 4), "the first is free, and the first after a watch that lasted"
    assert "relisting the pods: watch of /api/v1/pods: 410 too old" in caplog.messages


def test_a_list_whose_version_expires_between_two_pages_starts_over() -> None:
    world = World(page("a", more="p2"), EXPIRED, page("a", more="p2"), page("b"), [])
    assert world.run() == ["list", "list after p2", "list", "list after p2", "watch from 1"]
    assert world.pods == ["all: a b"]


def test_a_refusal_is_waited_for_every_time_and_one_within_a_watch_that_lasted_as_the_first() -> None:
    refused, within = ApiError("no", 500), line("ERROR", code=500)
    world = World(refused, page(), refused, [line("ADDED", "web", "4"), LASTING, within], refused, [LASTING])
    assert world.run() == ["list", "list", "watch from 1", "watch from 1", "watch from 4", "watch from 4"]
    assert world.waits == about(1, 2, 1, 2)


@pytest.mark.parametrize("status", [429, 410])
def test_a_busy_server_is_left_alone_for_longer_than_it_asks_but_not_for_ever(status: int) -> None:
    world = World(ApiError("busy", status, retry_after=7), ApiError("busy", status, retry_after=1e9), page(), [LASTING])
    world.run()
    first, second = world.waits
    assert 7.8 <= first <= 8.2
    assert 121.6 <= second <= 122.4


def test_an_outage_is_reported_when_it_begins_when_its_kind_changes_and_when_it_ends(caplog: Log) -> None:
    caplog.set_level(logging.INFO, "podagent.kube.contact")
    refused = [ApiError(text, int(text[:3])) for text in ("503 at port 1", "503 at port 2", "403", "401")]
    world = World(page(), *refused, [60.0], [])
    world.run()
    *troubles, back = caplog.messages
    assert troubles == [
        "lost contact with https://one: 503 at port 1",
        "still no contact with https://one: 403; let podagent list and watch pods: apply"
        " podagent-serviceaccount-and-rbac.yaml",
        "still no contact with https://one: 401; the kubeconfig needs valid credentials",
    ]
    assert back == f"back in contact with https://one after {sum(world.waits[:4]):.0f} s"


def test_a_refusal_that_somebody_has_to_correct_is_a_warning_with_its_remedy_once(caplog: Log) -> None:
    bad = ApiError("GET /api/v1/pods: 400 Bad Request", 400)
    world = World(bad, bad, bad, page(), bad, page("web"), bad, page(), [LASTING])
    assert world.run() == [*["list"] * 4, "watch from 1", "list", "watch from 1", "list", "watch from 1"]
    assert world.waits == about(1, 2, 4, 8, 16)
    assert caplog.messages == [
        f"lost contact with https://one: {bad}; check the server in the kubeconfig: it may need https://"
    ]


def test_a_server_that_stays_out_of_reach_has_the_credentials_loaded_again_which_may_fail() -> None:
    world = World(UNREACHABLE, UNREACHABLE, UNREACHABLE, page("web"), [LASTING])

    def fail() -> None:
        raise KubeconfigError("is not YAML")

    world.api.on_reload = fail
    assert world.run() == ["list", "list", "reload", "list", "reload", "list", "watch from 1"]
    assert world.waits == about(1, 2, 4)
    assert world.pods == ["all: web"]


def test_a_server_that_moved_is_listed_since_its_versions_are_others() -> None:
    world = World(page(version="100"), [LASTING], UNREACHABLE, UNREACHABLE, page(version="3"), [])

    def move() -> None:
        world.api.server = "https://two"

    world.api.on_reload = move
    assert world.run() == ["list", *["watch from 100"] * 3, "reload", "list", "watch from 3"]


def test_a_missing_kubeconfig_is_looked_for_every_few_seconds(caplog: Log) -> None:
    world = World(*[KubeconfigError("kubeconfig does not exist")] * 9, page("web"), [LASTING])
    assert world.run() == [*["list"] * 10, "watch from 1"]
    assert world.waits == about(1, 2, 4, *[5] * 6)
    assert max(world.waits) == 5
    assert caplog.messages == ["lost contact with https://one: kubeconfig does not exist"]
    assert world.pods == ["all: web"]


def test_every_step_is_announced_to_the_watchdog_with_a_bound_and_the_end_too() -> None:
    world = World(page("a", more="p2"), page("b"), [line("ADDED", "c", "2")], [], [LASTING], ApiError("busy", 503))
    world.run()
    assert world.beats.pop() is None
    assert len(world.beats) >= 7
    assert all(allowance is not None and 10 < allowance < 200 for allowance in world.beats)
    assert all(wait + 10 in world.beats for wait in world.waits)


def test_a_stop_ends_a_watch_before_it_begins_and_before_the_next_event() -> None:
    world = World(page())
    world.stop.set()
    assert world.run() == []
    assert world.beats == [None]
    world = World(page())
    world.api.script.append([line("ADDED", "web", "2"), world.stop.set, line("ADDED", "late", "3"), BROKEN])
    assert world.run() == ["list", "watch from 1"]
    assert world.pods == ["all:", "there: web", "there: late"], "the line was there already"


def test_closing_aborts_the_blocked_read_and_is_no_trouble_to_report(caplog: Log) -> None:
    caplog.set_level(logging.INFO, "podagent.kube.watch")
    world = World(page())
    world.watch.close()  # nothing yet to close
    world.api.script.append([world.stop.set, world.watch.close, BROKEN])
    assert world.run() == ["list", "watch from 1"]
    assert "shutdown" in world.api.responses[0].calls
    assert world.waits == []
    assert caplog.messages == ["0 pods are listed"]
