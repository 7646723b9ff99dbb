"""Lists and watches the objects of one resource: paging, filters, parsing of events. Keeps no state."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from podagent.errors import AnswerTooLarge, ApiError
from podagent.foreign import Json, json_object, lenient, optional, required, shown
from podagent.kube.answers import status_error
from podagent.kube.api import JSON, KubeApi
from podagent.kube.stream import LineStream

Item = TypeVar("Item")

# Enough for any node at 500 objects per page; an endless list must not exhaust our memory.
_MOST_PAGES = 1000
_METADATA = "application/json;as=PartialObjectMetadata{};g=meta.k8s.io;v=v1"


class GarbledWatch(ApiError):
    """A line of a watch is not an event: it was truncated, or its sender is not an API server."""


@dataclass(frozen=True)
class Feed(Generic[Item]):
    """What is listed and watched.

    Attributes:
        path: of the collection.
        what: names the items in messages.
        kinds: of the objects; that of a list ends in "List".
        parse: converts an object; raises ValueError if no object of the resource can be like that.
        selector: field selector, "" for all.
        metadata_only: the server leaves everything else out.
    """

    path: str
    what: str
    kinds: tuple[str, ...]
    parse: Callable[[Json], Item]
    selector: str = ""
    metadata_only: bool = False

    def accept(self, suffix: str = "") -> str:
        return _METADATA.format(suffix) if self.metadata_only else JSON

    def query(self, **parameters: str) -> list[tuple[str, str]]:
        """The query of a request, without empty parameters."""
        return [(key, value) for key, value in {"fieldSelector": self.selector, **parameters}.items() if value]


@dataclass(frozen=True)
class Event(Generic[Item]):
    """One event of a watch.

    Attributes:
        kind: ADDED, MODIFIED, DELETED or BOOKMARK.
        item: None for a bookmark, and for an object that cannot be.
    """

    kind: str
    version: str
    item: Item | None


class Listing(Generic[Item]):
    """Iterates, once, over a complete, consistent list, which it reads page by page.

    It requests no resourceVersion: version "0" would be cheaper for the server, but may be older than the state seen
    before a restart or from another server, and acting on it would detach networks that are wanted.
    Pages that exceed the size limit are requested again in smaller pages.

    The iteration raises ApiError, in particular with status 410 if the version of the list was compacted meanwhile.

    Attributes:
        version: resource version of the list, "" before the end.
        count: items so far.
    """

    def __init__(self, api: KubeApi, feed: Feed[Item], page_size: int, before_page: Callable[[], None]) -> None:
        """`before_page`: called before each request."""
        self._api = api
        self._feed = feed
        self._page_size = page_size
        self._before_page = before_page
        self.version = ""
        self.count = 0

    def __iter__(self) -> Iterator[Item]:
        token = ""
        for _ in range(_MOST_PAGES):
            self._before_page()
            page = self._page(token)
            if page is None:
                continue
            items = _parse_items(page, self._feed)
            self.count += len(items)
            yield from items
            token = _metadata(page, "continue")
            if not token:
                self.version = _list_version(page, self._feed)
                return
        raise ApiError(f"GET {self._feed.path}: the list does not end after {_MOST_PAGES} pages")

    def _page(self, token: str) -> Json | None:
        """The page, None if it must be requested again."""
        query = self._feed.query(limit=str(self._page_size), **{"continue": token})
        try:
            return self._api.get(self._feed.path, query, self._feed.accept("List"))
        except AnswerTooLarge:
            if self._page_size == 1:
                raise
            self._page_size = max(1, self._page_size // 4)
            return None


def watch(api: KubeApi, feed: Feed[Item], version: str, lifetime_s: int, read_timeout_s: float) -> LineStream:
    """Streams the changes after `version`; the server ends the watch after `lifetime_s`."""
    query = feed.query(
        watch="true", allowWatchBookmarks="true", resourceVersion=version, timeoutSeconds=str(lifetime_s)
    )
    return api.stream(feed.path, query, read_timeout_s, feed.accept())


def parse_event(line: bytes, feed: Feed[Item]) -> Event[Item]:
    """Parses a line of a watch. Raises GarbledWatch for a malformed line, ApiError for an event of type ERROR."""
    try:
        event = json_object(line)
        event_type, obj = required(event, "type", str), required(event, "object", dict)
    except ValueError as error:
        raise GarbledWatch(f"watch of {feed.path}: a line of {len(line)} bytes is not an event") from error
    if event_type == "ERROR":
        raise status_error(obj, f"watch of {feed.path}")
    if obj.get("kind") not in feed.kinds:
        kinds = " or ".join(feed.kinds)
        raise GarbledWatch(f"watch of {feed.path}: an event is about {shown(obj.get('kind'))}, not about a {kinds}")
    item = None if event_type == "BOOKMARK" else _possible(obj, feed)
    return Event(event_type, _metadata(obj, "resourceVersion"), item)


def _possible(obj: Json, feed: Feed[Item]) -> Item | None:
    try:
        return feed.parse(obj)
    except ValueError:
        return None


def _parse_items(page: Json, feed: Feed[Item]) -> list[Item]:
    """The items of a page. One that is missing counts as gone, so anything doubtful is an error."""
    fault = f"GET {feed.path}: the answer is not a list of {feed.what}"
    try:
        kind, items = optional(page, "kind", str), optional(page, "items", list) or []
        if kind not in [f"{each}List" for each in feed.kinds]:
            raise ApiError(f"{fault}: its kind is {shown(kind)}")
        return [feed.parse(item if isinstance(item, dict) else {}) for item in items]
    except ValueError as error:
        raise ApiError(f"{fault}: {error}") from error


def _list_version(page: Json, feed: Feed[Item]) -> str:
    version = _metadata(page, "resourceVersion")
    if not version:
        raise ApiError(f"GET {feed.path}: the list has no resourceVersion")
    return version


def _metadata(obj: Json, key: str) -> str:
    return lenient(lenient(obj, "metadata", dict), key, str)
