"""The API stand-in answers as a real server does where other tests rely on it."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from lab.apiserver import ApiServer
from lab.waiting import eventually

Json = dict[str, Any]
PODS = "/api/v1/pods"


@pytest.fixture
def api() -> Iterator[ApiServer]:
    with ApiServer(bookmark_s=0.2) as server:
        yield server


def create_pod(
    api: ApiServer, name: str, node: str = "here", phase: str = "Running", namespace: str = "default"
) -> None:
    metadata = {"name": name, "namespace": namespace, "labels": {"app": name}}
    api.create({"kind": "Pod", "metadata": metadata, "spec": {"nodeName": node}, "status": {"phase": phase}})


def get(api: ApiServer, **query: Any) -> Json:
    answer: Json = requests.get(api.url + PODS, query, timeout=5).json()
    return answer


def names(listed: Json) -> list[str]:
    return [item["metadata"]["name"] for item in listed["items"]]


class Watching:
    """A watch that has begun; it gathers events, and bookmarks apart from them."""

    def __init__(self, api: ApiServer, version: int, **query: Any) -> None:
        self.events: list[tuple[str, Json]] = []
        self.bookmark = 0
        running = api.requests.count("watch")
        query |= {"watch": "true", "resourceVersion": version, "timeoutSeconds": 20}
        self._answer = requests.get(api.url + PODS, query, stream=True, timeout=20)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        eventually(lambda: api.requests.count("watch") > running)

    def sees(self, *wanted: tuple[str, str]) -> None:
        eventually(lambda: [(kind, obj["metadata"].get("name", "")) for kind, obj in self.events] == [*wanted])

    @property
    def ended(self) -> bool:
        return not self._thread.is_alive()

    def _read(self) -> None:
        with contextlib.suppress(requests.RequestException):  # the server has stopped
            for event in map(json.loads, self._answer.iter_lines(chunk_size=1)):
                if event["type"] == "BOOKMARK":
                    self.bookmark = int(event["object"]["metadata"]["resourceVersion"])
                else:
                    self.events.append((event["type"], event["object"]))


def test_pages_of_a_list_are_of_one_version(api: ApiServer) -> None:
    for number in range(5):
        create_pod(api, f"p{number}")
    pages = [get(api, limit=2)]
    api.delete("pods", "default", "p4")
    while token := pages[-1]["metadata"]["continue"]:
        pages.append(get(api, limit=2, **{"continue": token}))
    assert list(map(names, pages)) == [["p0", "p1"], ["p2", "p3"], ["p4"]]
    assert len({page["metadata"]["resourceVersion"] for page in pages}) == 1


@pytest.mark.parametrize(
    ("selectors", "chosen"),
    [
        ({"fieldSelector": "spec.nodeName=here,status.phase!=Failed,status.phase!=Succeeded"}, ["a", "d"]),
        ({"fieldSelector": "metadata.namespace=default", "labelSelector": "app!=a"}, ["b", "c"]),
    ],
)
def test_a_list_is_selected_by_fields_and_labels(api: ApiServer, selectors: dict[str, str], chosen: list[str]) -> None:
    create_pod(api, "a")
    create_pod(api, "b", phase="Failed")
    create_pod(api, "c", node="there")
    create_pod(api, "d", namespace="other")
    assert names(get(api, **selectors)) == chosen


POD = "/api/v1/namespaces/default/pods/a"


@pytest.mark.parametrize(
    ("method", "path", "body", "code", "reason", "message"),
    [
        ("GET", "/apis/kaloom.com/v1/namespaces/default/networks/data", None,
         404, "NotFound", 'networks.kaloom.com "data" not found'),
        ("GET", "/apis/kaloom.com/v2/namespaces/default/networks/data", None,
         404, "NotFound", "could not find the requested resource"),
        ("POST", "/api/v1/namespaces/default/pods", {"kind": "Pod", "metadata": {"name": "a"}},
         409, "AlreadyExists", 'pods "a" already exists'),
        ("PATCH", POD, {"metadata": {"resourceVersion": "1"}}, 409, "Conflict", "the object has been modified"),
    ],
)  # fmt: skip
def test_an_error_is_a_status_object(
    api: ApiServer, method: str, path: str, body: Json | None, code: int, reason: str, message: str
) -> None:
    create_pod(api, "a")
    headers = {"Content-Type": "application/merge-patch+json"}
    answer = requests.request(method, api.url + path, json=body, headers=headers, timeout=5)
    status = answer.json()
    assert (answer.status_code, status["kind"], status["code"], status["reason"]) == (code, "Status", code, reason)
    assert message in status["message"]


def test_a_merge_patch_changes_what_it_names_and_null_removes(api: ApiServer) -> None:
    create_pod(api, "a")
    api.annotate("default", "a", {"one": "1", "two": "2"})
    api.annotate("default", "a", {"one": None})
    version = api.version
    api.annotate("default", "a", {"two": "2"})
    assert api.version == version, "no change is no event"
    pod = api.get("pods", "default", "a")
    assert (pod["metadata"]["annotations"], pod["status"]) == ({"two": "2"}, {"phase": "Running"})


def test_a_watch_sends_what_happens_after_its_version_and_bookmarks(api: ApiServer) -> None:
    create_pod(api, "old")
    watching = Watching(api, api.version)
    create_pod(api, "a")
    api.annotate("default", "a", {"x": "1"})
    api.delete("pods", "default", "a")
    watching.sees(("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a"))
    assert watching.events[-1][1]["metadata"]["resourceVersion"] == str(api.version)
    api.create({"kind": "Network", "metadata": {"name": "elsewhere"}})
    eventually(lambda: watching.bookmark == api.version)


def test_an_object_that_leaves_the_selection_is_deleted_and_one_that_enters_is_added(api: ApiServer) -> None:
    create_pod(api, "a", phase="Pending")
    watching = Watching(api, api.version, fieldSelector="status.phase!=Failed")
    for status in ({"phase": "Failed"}, {"reason": "unseen"}, {"phase": "Running"}, {"reason": "seen"}):
        api.set_status("default", "a", status)
    watching.sees(("DELETED", "a"), ("ADDED", "a"), ("MODIFIED", "a"))
    assert watching.events[0][1]["status"]["phase"] == "Pending"


def test_a_version_from_before_the_history_is_gone(api: ApiServer) -> None:
    create_pod(api, "a")
    old, running = api.version, Watching(api, api.version)
    create_pod(api, "b")
    token = get(api, limit=1)["metadata"]["continue"]
    api.expire_history()
    late = Watching(api, old)
    late.sees(("ERROR", ""))
    assert (late.events[0][1]["code"], late.events[0][1]["reason"]) == (410, "Expired")
    assert get(api, limit=1, **{"continue": token})["code"] == 410
    create_pod(api, "later")
    running.sees(("ADDED", "b"), ("ADDED", "later"))  # as in etcd, it outlives the compaction
    api.expire_history(running_watches=True)
    running.sees(("ADDED", "b"), ("ADDED", "later"), ("ERROR", ""))
    eventually(lambda: running.ended)
