"""What an HTTP request means to the API stand-in: which resource, object and verb; and the log of requests. No I/O."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from lab.apierrors import ApiFailure
from lab.apistore import Resource
from lab.selectors import Predicate, field_predicate, label_predicate

Json = dict[str, Any]

_VERBS = {"POST": "create", "PATCH": "patch", "DELETE": "delete"}


@dataclass(frozen=True)
class Target:
    """The resource, or the object, that a path names."""

    resource: Resource
    namespace: str = ""
    name: str = ""
    part: str = ""


@dataclass(frozen=True)
class Request:
    """One request as it was received.

    Attributes:
        time: `time.monotonic()` when it arrived.
        verb: ``list``, ``watch``, ``get``, ``create``, ``patch``, ``delete``; "" outside the API.
        resource: plural name of the resource, or "".
        body: the decoded JSON body, None without one.
    """

    time: float
    method: str
    path: str
    query: dict[str, str]
    verb: str = ""
    resource: str = ""
    body: Any = None


class RequestLog:
    """All requests, in order of arrival. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: list[Request] = []

    def add(self, request: Request) -> None:
        with self._lock:
            self._requests.append(request)

    def all(self, verb: str = "", resource: str = "", since: float = 0.0) -> list[Request]:
        """The requests with that verb and resource ("" for any) at or after `since` (`time.monotonic()`)."""
        with self._lock:
            return [
                request
                for request in self._requests
                if verb in ("", request.verb) and resource in ("", request.resource) and request.time >= since
            ]

    def count(self, verb: str = "", resource: str = "", since: float = 0.0) -> int:
        return len(self.all(verb, resource, since))


def parse(method: str, url: str, resources: Iterable[Resource]) -> tuple[Request, Target | None]:
    """Reads the request line; the target is None for a path outside the stored resources."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    target = _route(unquote(parts.path), resources)
    verb = _verb(method, target, query) if target else ""
    plural = target.resource.plural if target else ""
    return Request(time.monotonic(), method, parts.path, query, verb, plural), target


def watching(query: dict[str, str]) -> bool:
    return query.get("watch", "").lower() in ("1", "true")


def selects(query: dict[str, str], target: Target) -> Predicate:
    """Whether an object belongs in the answer: namespace of the path, name, field and label selector."""
    fields = field_predicate(query.get("fieldSelector", ""), target.resource.selectable)
    labels = label_predicate(query.get("labelSelector", ""))
    in_place = _in_namespace(target.namespace)
    return lambda obj: in_place(obj) and fields(obj) and labels(obj)


def version_of(query: dict[str, str]) -> int:
    """The resourceVersion asked for; 0 when unset. ApiFailure 400 when it is not a number."""
    text = query.get("resourceVersion", "") or "0"
    if not text.isdigit():
        raise ApiFailure(400, f"invalid resource version: {text!r}")
    return int(text)


def _in_namespace(namespace: str) -> Callable[[Json], bool]:
    return lambda obj: namespace in ("", obj["metadata"].get("namespace", ""))


def _verb(method: str, target: Target, query: dict[str, str]) -> str:
    if method == "GET":
        return "watch" if watching(query) else "get" if target.name else "list"
    return _VERBS.get(method, "")


def _route(path: str, resources: Iterable[Resource]) -> Target | None:
    segments = path.strip("/").split("/")
    if segments[:1] == ["api"]:
        group, version, rest = "", segments[1:2], segments[2:]
    elif segments[:1] == ["apis"] and len(segments) > 1:
        group, version, rest = segments[1], segments[2:3], segments[3:]
    else:
        return None
    namespace = ""
    if len(rest) > 2 and rest[0] == "namespaces":
        namespace, rest = rest[1], rest[2:]
    if not 1 <= len(rest) <= 3:
        return None
    plural, name, part = (*rest, "", "")[:3]
    for resource in resources:
        if (resource.group, [resource.version], resource.plural) == (group, version, plural):
            return Target(resource, namespace, name, part) if _fits(resource, namespace, name, part) else None
    return None


def _fits(resource: Resource, namespace: str, name: str, part: str) -> bool:
    if part and not (part == "status" and resource.has_status):
        return False
    return (resource.namespaced or not namespace) and (not name or bool(namespace) is resource.namespaced)
