"""Lists and watches the pods of one node: field selector, paging, parsing of events. Keeps no state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

from podagent.errors import AnswerTooLarge, ApiError, PodNotGone
from podagent.foreign import Json, json_object, lenient, optional, required, shown
from podagent.kube.answers import status_error
from podagent.kube.api import KubeApi, api_path
from podagent.kube.pods import parse_pod
from podagent.kube.stream import LineStream
from podagent.model import Pod, PodKey

PODS = "/api/v1/pods"
# Enough for any node at 500 objects per page; an endless list must not exhaust our memory.
_MOST_PAGES = 1000


class GarbledWatch(ApiError):
    """A line of a watch is not an event: it was truncated, or its sender is not an API server."""


@dataclass(frozen=True)
class Listing:
    """All pods at one resource version."""

    pods: list[Pod]
    version: str


@dataclass(frozen=True)
class Event:
    """One event of a watch. `kind`: ADDED, MODIFIED, DELETED or BOOKMARK; `pod` is None for a bookmark."""

    kind: str
    version: str
    pod: Pod | None


def list_pods(api: KubeApi, node: str, page_size: int, before_page: Callable[[], None]) -> Listing:
    """Reads a complete, consistent list page by page; calls `before_page` before each request.

    It requests no resourceVersion: version "0" would be cheaper for the server, but may be older than the state seen
    before a restart or from another server, and acting on it would detach networks that are wanted.
    Pages that exceed the size limit are requested again in smaller pages.

    Raises:
        ApiError: in particular with status 410 if the version of the list was compacted meanwhile.
    """
    pods: list[Pod] = []
    token = ""
    for _ in range(_MOST_PAGES):
        before_page()
        try:
            page = api.get(PODS, _list_query(node, page_size, token))
        except AnswerTooLarge:
            if page_size == 1:
                raise
            page_size = max(1, page_size // 4)
            continue
        pods.extend(_parse_items(page))
        token = _metadata(page, "continue")
        if not token:
            return Listing(pods, _list_version(page))
    raise ApiError(f"GET {PODS}: the list does not end after {_MOST_PAGES} pages")


def watch_pods(api: KubeApi, node: str, version: str, lifetime_s: int, read_timeout_s: float) -> LineStream:
    """Streams the changes after `version`; the server ends the watch after `lifetime_s`."""
    query = [
        ("watch", "true"),
        ("allowWatchBookmarks", "true"),
        ("fieldSelector", _selector(node)),
        ("resourceVersion", version),
        ("timeoutSeconds", str(lifetime_s)),
    ]
    return api.stream(PODS, query, read_timeout_s)


def parse_event(line: bytes) -> Event:
    """Parses a line of a watch. Raises GarbledWatch for a malformed line, ApiError for an event of type ERROR."""
    try:
        event = json_object(line)
        event_type, obj = required(event, "type", str), required(event, "object", dict)
    except ValueError as error:
        raise GarbledWatch(f"watch of {PODS}: a line of {len(line)} bytes is not an event") from error
    if event_type == "ERROR":
        raise status_error(obj, f"watch of {PODS}")
    if obj.get("kind") != "Pod":
        raise GarbledWatch(f"watch of {PODS}: an event is about {shown(obj.get('kind'))}, not about a Pod")
    return Event(event_type, _metadata(obj, "resourceVersion"), None if event_type == "BOOKMARK" else parse_pod(obj))


def confirm_gone(api: KubeApi, key: PodKey) -> None:
    """Asks for one pod by name. Returns if it is gone: not found, ended, or replaced by another one of its name.

    Raises:
        PodNotGone: it exists.
        ApiError: there is no answer, or it is not about this pod.
    """
    path = api_path("api", "v1", "namespaces", key.namespace, "pods", key.name)
    try:
        answer = api.get(path)
    except ApiError as error:
        if error.status == HTTPStatus.NOT_FOUND:
            return
        raise
    pod = parse_pod(answer)
    if answer.get("kind") != "Pod" or pod.key[:2] != key[:2]:
        raise ApiError(f"GET {path}: the answer is not this pod")
    if pod.key == key and not pod.ended:
        raise PodNotGone(f"the API server no longer lists pod {key} for this node, but still has it: its networks stay")


def _list_query(node: str, page_size: int, token: str) -> list[tuple[str, str]]:
    query = [("fieldSelector", _selector(node)), ("limit", str(page_size))]
    return [*query, ("continue", token)] if token else query


def _selector(node: str) -> str:
    return f"spec.nodeName={node},status.phase!=Succeeded,status.phase!=Failed"


def _parse_items(page: Json) -> list[Pod]:
    """The pods of a page. A pod that is missing counts as gone, so anything doubtful is an error."""
    try:
        kind, items = optional(page, "kind", str), optional(page, "items", list) or []
    except ValueError as error:
        raise ApiError(f"GET {PODS}: the answer is not a list of pods: {error}") from error
    if kind != "PodList":
        raise ApiError(f"GET {PODS}: the answer is not a list of pods: its kind is {shown(kind)}")
    pods = [parse_pod(item) for item in items if isinstance(item, dict)]
    if len(pods) != len(items) or not all(all(pod.key) for pod in pods):
        raise ApiError(f"GET {PODS}: the answer is not a list of pods: an item has no valid namespace, name or UID")
    return pods


def _list_version(page: Json) -> str:
    version = _metadata(page, "resourceVersion")
    if not version:
        raise ApiError(f"GET {PODS}: the list has no resourceVersion")
    return version


def _metadata(obj: Json, key: str) -> str:
    return lenient(lenient(obj, "metadata", dict), key, str)
