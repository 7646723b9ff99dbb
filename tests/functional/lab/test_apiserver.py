"""The API stand-in, where other tests would pass without a reason if it did not do what they ordered."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from lab.apiserver import ApiServer

Json = dict[str, Any]
PODS = "/api/v1/pods"


@pytest.fixture
def api() -> Iterator[ApiServer]:
    with ApiServer(bookmark_s=0.1) as server:
        yield server


def create_pod(api: ApiServer, name: str) -> None:
    api.create(
        {"kind": "Pod", "metadata": {"name": name}, "spec": {"nodeName": "here"}, "status": {"phase": "Pending"}}
    )


def get(api: ApiServer, **query: Any) -> Json:
    answer: Json = requests.get(api.url + PODS, query, timeout=5).json()
    return answer


def names(listed: Json) -> list[str]:
    return [item["metadata"]["name"] for item in listed["items"]]


def watch(api: ApiServer, version: int, **query: Any) -> Iterator[tuple[str, Json]]:
    """The events of a watch that has begun."""
    query |= {"watch": "true", "resourceVersion": version, "timeoutSeconds": 20}
    lines = requests.get(api.url + PODS, query, stream=True, timeout=1).iter_lines(chunk_size=1)
    return ((event["type"], event["object"]) for event in map(json.loads, lines))


def without_bookmarks(events: Iterator[tuple[str, Json]]) -> Iterator[tuple[str, str]]:
    return ((kind, obj["metadata"].get("name", "")) for kind, obj in events if kind != "BOOKMARK")


def test_pages_of_a_list_are_of_one_version_until_that_expires(api: ApiServer) -> None:
    for number in range(5):
        create_pod(api, f"p{number}")
    pages = [get(api, limit=2)]
    api.delete("pods", "default", "p4")
    while token := pages[-1]["metadata"]["continue"]:
        pages.append(get(api, limit=2, **{"continue": token}))
    assert list(map(names, pages)) == [["p0", "p1"], ["p2", "p3"], ["p4"]]
    assert len({page["metadata"]["resourceVersion"] for page in pages}) == 1
    token = get(api, limit=1)["metadata"]["continue"]
    api.expire_history()
    assert get(api, limit=1, **{"continue": token})["code"] == 410


def test_a_watch_sends_what_happens_to_the_objects_that_it_selects(api: ApiServer) -> None:
    create_pod(api, "a")
    events = without_bookmarks(watch(api, api.version, fieldSelector="spec.nodeName=here,status.phase!=Failed"))
    for status in ({"phase": "Failed"}, {"reason": "unseen"}, {"phase": "Running"}, {"reason": "seen"}):
        api.set_status("default", "a", status)
    api.set_status("default", "a", {"reason": "seen"})  # no change, no event
    api.delete("pods", "default", "a")
    seen = [next(events) for _ in range(4)]
    assert seen == [("DELETED", "a"), ("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]


def test_a_version_from_before_the_history_is_gone_for_new_watches_and_on_demand_for_all(api: ApiServer) -> None:
    old = api.version
    running = without_bookmarks(watch(api, old))
    create_pod(api, "a")
    assert next(running) == ("ADDED", "a")
    api.expire_history()
    kind, status = next(watch(api, old))
    assert (kind, status["code"], status["reason"]) == ("ERROR", 410, "Expired")
    create_pod(api, "later")
    assert next(running) == ("ADDED", "later")  # as in etcd, it outlives the compaction
    api.expire_history(running_watches=True)
    assert list(running) == [("ERROR", "")]


def test_a_truncated_line_ends_its_connection(api: ApiServer) -> None:
    events = watch(api, api.version)
    api.truncates_next = True
    create_pod(api, "a")
    with pytest.raises((ValueError, requests.RequestException)):
        list(events)
    assert names(get(api)) == ["a"]


def test_a_silent_server_sends_nothing_on_old_connections_and_on_demand_nothing_on_new_ones(api: ApiServer) -> None:
    for new_connections in (False, True):
        events = watch(api, api.version)
        next(events)
        api.go_silent(new_connections=new_connections)
        with pytest.raises(requests.RequestException):
            list(events)
        if new_connections:
            with pytest.raises(requests.Timeout):
                requests.get(api.url + PODS, timeout=0.5)
        else:
            assert names(get(api)) == []
