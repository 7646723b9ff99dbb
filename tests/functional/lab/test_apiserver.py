"""The API stand-in, seen through the real client."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, config, watch
from kubernetes.client import ApiException

from lab.apiserver import ApiServer
from lab.waiting import eventually

Json = dict[str, Any]


@pytest.fixture
def api() -> Iterator[ApiServer]:
    with ApiServer() as server:
        yield server


@pytest.fixture
def core(api: ApiServer, tmp_path: Path) -> client.CoreV1Api:
    return core_of(api, tmp_path / "kubeconfig")


def core_of(api: ApiServer, path: Path, token: str | None = None) -> client.CoreV1Api:
    api.write_kubeconfig(path, token)
    return client.CoreV1Api(config.new_client_from_config(str(path)))


def pod(name: str, node: str = "here", phase: str = "Running", namespace: str = "default") -> Json:
    metadata = {"name": name, "namespace": namespace, "labels": {"app": name}}
    spec = {"nodeName": node, "containers": [{"name": "main", "image": "busybox"}]}
    return {"kind": "Pod", "metadata": metadata, "spec": spec, "status": {"phase": phase}}


class Watching:
    """A watch in a thread of its own; `seen` grows."""

    def __init__(self, core: client.CoreV1Api, **options: Any) -> None:
        self.seen: list[tuple[str, str]] = []
        self.objects: list[Json] = []
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._run, args=(core, options), daemon=True)
        self._thread.start()

    def _run(self, core: client.CoreV1Api, options: Json) -> None:
        response = core.list_pod_for_all_namespaces(watch=True, _preload_content=False, **options)
        try:
            for line in watch.watch.iter_resp_lines(response):
                event = json.loads(line)
                metadata = event["object"].get("metadata", {})
                self.objects.append(event["object"])
                self.seen.append((event["type"], metadata.get("name", "")))
        except Exception as error:
            self.error = error

    @property
    def ended(self) -> bool:
        return not self._thread.is_alive()

    def wait_for(self, *events: tuple[str, str]) -> None:
        def all_seen() -> bool:
            assert self.seen == list(events)
            return True

        eventually(all_seen, what="the watch events")


def version(api: ApiServer) -> str:
    return str(api.store.version)


def watch_from_now(api: ApiServer, core: client.CoreV1Api, **options: Any) -> Watching:
    running = api.requests.count("watch")
    watching = Watching(core, resource_version=version(api), **options)
    eventually(lambda: api.requests.count("watch") > running, what="the watch to have begun")
    return watching


def test_pages_of_a_list_are_of_one_version(api: ApiServer, core: client.CoreV1Api) -> None:
    for number in range(5):
        api.create(pod(f"p{number}"))
    first = core.list_pod_for_all_namespaces(limit=2)
    api.delete("pods", "default", "p4")
    second = core.list_pod_for_all_namespaces(limit=2, _continue=first.metadata._continue)
    third = core.list_pod_for_all_namespaces(limit=2, _continue=second.metadata._continue)
    names = [item.metadata.name for page in (first, second, third) for item in page.items]
    assert names == ["p0", "p1", "p2", "p3", "p4"]
    assert first.metadata.remaining_item_count == 3
    assert third.metadata._continue is None
    assert first.metadata.resource_version == third.metadata.resource_version


@pytest.mark.parametrize(
    ("selectors", "chosen"),
    [
        ({"field_selector": "spec.nodeName=here,status.phase!=Failed,status.phase!=Succeeded"}, ["a", "d"]),
        ({"field_selector": "metadata.namespace=default", "label_selector": "app!=a"}, ["b", "c"]),
        ({"label_selector": "app=d"}, ["d"]),
    ],
)
def test_a_list_can_be_selected_by_fields_and_labels(
    api: ApiServer, core: client.CoreV1Api, selectors: dict[str, str], chosen: list[str]
) -> None:
    for each in (pod("a"), pod("b", phase="Failed"), pod("c", node="there"), pod("d", namespace="other")):
        api.create(each)
    assert [item.metadata.name for item in core.list_pod_for_all_namespaces(**selectors).items] == chosen


def fetch_data(core: client.CoreV1Api) -> object:
    return client.CustomObjectsApi(core.api_client).get_namespaced_custom_object(
        "kaloom.com", "v1", "default", "networks", "data"
    )


EVENT: Json = {"metadata": {"name": "e"}, "involvedObject": {"kind": "Pod", "namespace": "other"}}
REFUSED: list[tuple[Callable[[client.CoreV1Api], object], int, str, str]] = [
    (lambda core: core.read_namespaced_pod("nobody", "default"), 404, "NotFound", 'pods "nobody" not found'),
    (fetch_data, 404, "NotFound", 'networks.kaloom.com "data" not found'),
    (lambda core: core.create_namespaced_pod("default", pod("a")), 409, "AlreadyExists", 'pods "a" already exists'),
    (
        lambda core: core.patch_namespaced_pod("a", "default", {"metadata": {"uid": "other"}}),
        409, "Conflict", "UID in precondition does not match",
    ),
    (
        lambda core: core.list_pod_for_all_namespaces(field_selector="spec.colour=red"),
        400, "BadRequest", "field label not supported: spec.colour",
    ),
    (lambda core: core.create_namespaced_event("default", EVENT), 422, "Invalid", "does not match event.namespace"),
]  # fmt: skip


@pytest.mark.parametrize(("request_of", "code", "reason", "message"), REFUSED)
def test_an_error_is_a_status_object(
    api: ApiServer, core: client.CoreV1Api, request_of: Callable[[client.CoreV1Api], object],
    code: int, reason: str, message: str,
) -> None:  # fmt: skip
    api.create(pod("a"))
    with pytest.raises(ApiException) as refused:
        request_of(core)
    status = json.loads(refused.value.body)
    assert (refused.value.status, status["kind"], status["code"], status["reason"]) == (code, "Status", code, reason)
    assert message in status["message"]


def test_a_patch_changes_what_it_names_and_null_removes(api: ApiServer, core: client.CoreV1Api) -> None:
    api.create(pod("a"))
    core.patch_namespaced_pod("a", "default", {"metadata": {"annotations": {"one": "1", "two": "2"}}})
    core.patch_namespaced_pod("a", "default", {"metadata": {"annotations": {"one": None}}})
    found = core.read_namespaced_pod("a", "default")
    assert found.metadata.annotations == {"two": "2"}
    assert found.status.phase == "Running"


def test_the_main_resource_does_not_change_the_status(api: ApiServer, core: client.CoreV1Api) -> None:
    api.create(pod("a"))
    core.patch_namespaced_pod("a", "default", {"status": {"phase": "Failed"}})
    assert core.read_namespaced_pod("a", "default").status.phase == "Running"
    core.patch_namespaced_pod_status("a", "default", {"status": {"phase": "Failed"}})
    assert core.read_namespaced_pod("a", "default").status.phase == "Failed"


def test_a_watch_sends_what_happens_after_the_version(api: ApiServer, core: client.CoreV1Api) -> None:
    api.create(pod("old"))
    watching = watch_from_now(api, core)
    api.create(pod("a"))
    api.patch_annotations("default", "a", {"x": "1"})
    api.delete("pods", "default", "a")
    watching.wait_for(("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a"))
    assert int(watching.objects[-1]["metadata"]["resourceVersion"]) == api.store.version


def test_a_watch_without_a_version_begins_with_what_is_there(api: ApiServer, core: client.CoreV1Api) -> None:
    api.create(pod("old"))
    Watching(core).wait_for(("ADDED", "old"))


def test_a_change_that_changes_nothing_is_no_event(api: ApiServer, core: client.CoreV1Api) -> None:
    api.create(pod("a"))
    before = version(api)
    core.patch_namespaced_pod("a", "default", {"metadata": {"labels": {"app": "a"}}})
    assert version(api) == before


def test_an_object_that_leaves_the_selection_is_deleted_and_one_that_enters_is_added(
    api: ApiServer, core: client.CoreV1Api
) -> None:
    api.create(pod("a", phase="Pending"))
    watching = watch_from_now(api, core, field_selector="status.phase!=Failed")
    api.set_status("default", "a", {"phase": "Failed"})
    api.set_status("default", "a", {"reason": "unseen"})
    api.set_status("default", "a", {"phase": "Running"})
    api.set_status("default", "a", {"reason": "seen"})
    watching.wait_for(("DELETED", "a"), ("ADDED", "a"), ("MODIFIED", "a"))
    assert watching.objects[0]["status"]["phase"] == "Pending"


def test_bookmarks_come_at_intervals_and_before_the_end(tmp_path: Path) -> None:
    with ApiServer(bookmark_seconds=0.2) as api:
        core = core_of(api, tmp_path / "kubeconfig")
        watching = watch_from_now(api, core, allow_watch_bookmarks=True)
        api.create({"kind": "Network", "metadata": {"name": "elsewhere"}})
        latest = version(api)
        eventually(lambda: watching.objects and watching.objects[-1]["metadata"]["resourceVersion"] == latest)
        assert {kind for kind, _ in watching.seen} == {"BOOKMARK"}
    with ApiServer() as api:
        core = core_of(api, tmp_path / "kubeconfig")
        watching = watch_from_now(api, core, allow_watch_bookmarks=True, timeout_seconds=3)
        eventually(lambda: watching.ended, 6, "the watch to end at its timeout")
        assert [kind for kind, _ in watching.seen] == ["BOOKMARK"]
        assert watching.error is None


def test_no_bookmark_for_who_did_not_ask(tmp_path: Path) -> None:
    with ApiServer(bookmark_seconds=0.05) as api:
        core = core_of(api, tmp_path / "kubeconfig")
        watching = watch_from_now(api, core, timeout_seconds=1)
        eventually(lambda: watching.ended)
        assert watching.seen == []


def test_a_version_from_before_the_history_is_gone(api: ApiServer, core: client.CoreV1Api) -> None:
    old = version(api)
    running = watch_from_now(api, core)
    for number in range(3):
        api.create(pod(f"p{number}"))
    page = core.list_pod_for_all_namespaces(limit=1)
    api.expire_history()
    late = Watching(core, resource_version=old)
    late.wait_for(("ERROR", ""))
    assert (late.objects[0]["code"], late.objects[0]["reason"]) == (410, "Expired")
    with pytest.raises(ApiException) as expired:
        core.list_pod_for_all_namespaces(limit=1, _continue=page.metadata._continue)
    assert expired.value.status == 410
    api.create(pod("later"))
    eventually(lambda: ("ADDED", "later") in running.seen, what="a running watch to outlive the compaction")


def test_a_running_watch_can_be_told_that_it_is_too_old(api: ApiServer, core: client.CoreV1Api) -> None:
    running = watch_from_now(api, core)
    api.expire_history(running_watches=True)
    running.wait_for(("ERROR", ""))
    eventually(lambda: running.ended)


def test_a_history_that_overflows_is_too_old(tmp_path: Path) -> None:
    with ApiServer(history=3) as api:
        core = core_of(api, tmp_path / "kubeconfig")
        old = version(api)
        for number in range(5):
            api.create(pod(f"p{number}"))
        Watching(core, resource_version=old).wait_for(("ERROR", ""))


def test_a_graceful_deletion_shows_before_the_object_goes(api: ApiServer, core: client.CoreV1Api) -> None:
    api.create(pod("a"))
    watching = watch_from_now(api, core)
    api.begin_deletion("default", "a", 5)
    api.delete("pods", "default", "a")
    watching.wait_for(("MODIFIED", "a"), ("DELETED", "a"))
    assert watching.objects[0]["metadata"]["deletionGracePeriodSeconds"] == 5
