"""What an HTTP request means to the API stand-in, and the log of requests."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from lab.apistore import RESOURCES

_PATH = re.compile(r"/apis?/(v1|[^/]+/[^/]+)(?:/namespaces/([^/]+))?/([^/]+)(?:/([^/]+))?")
_SERVED = {(each.api_version, each.plural) for each in RESOURCES}


@dataclass(frozen=True)
class Request:
    """One request.

    Attributes:
        time: `time.monotonic()` when it arrived.
        verb: ``list``, ``watch``, ``get``, ``create`` or ``patch``.
        resource: plural name; "" for a path outside the resources.
        namespace, name: "" when the path has none.
    """

    time: float
    query: dict[str, str]
    verb: str
    resource: str
    namespace: str
    name: str


def parse(method: str, url: str) -> Request:
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    found = _PATH.fullmatch(parts.path)
    api_version, namespace, plural, name = found.groups(default="") if found else ("", "", "", "")
    reads = "watch" if "watch" in query else "get" if name else "list"
    verb = {"POST": "create", "PATCH": "patch"}.get(method, reads)
    resource = plural if (api_version, plural) in _SERVED else ""
    return Request(time.monotonic(), query, verb, resource, namespace, name)


class RequestLog:
    """All requests, in order of arrival."""

    def __init__(self) -> None:
        self._requests: list[Request] = []

    def add(self, request: Request) -> None:
        self._requests.append(request)

    def all(self, verb: str = "", resource: str = "", since: float = 0.0) -> list[Request]:
        """Those with that verb and resource ("" for any), from `since` (`time.monotonic()`) on."""
        return [
            each
            for each in tuple(self._requests)
            if verb in ("", each.verb) and resource in ("", each.resource) and each.time >= since
        ]

    def count(self, verb: str = "", resource: str = "", since: float = 0.0) -> int:
        return len(self.all(verb, resource, since))
