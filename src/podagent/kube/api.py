"""Sends requests to the API server, with authentication, timeouts and renewal of credentials.

It never sleeps between attempts and caches no objects.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import quote

from kubernetes.client import Configuration
from urllib3.exceptions import ClosedPoolError, ProtocolError
from urllib3.response import BaseHTTPResponse

from podagent.errors import ApiError, KubeconfigError
from podagent.foreign import Json
from podagent.kube.answers import TRANSPORT_ERRORS, decode_object, read_body, refusal, transport_errors
from podagent.kube.connections import make_client
from podagent.kube.shared import Shared
from podagent.kube.stream import LineStream
from podagent.timelimit import TimeLimit

_log = logging.getLogger(__name__)

Query = Iterable[tuple[str, str]]
Guard = Callable[[Callable[[str], Json]], None]
"""Checks a server by GETs, each from a path to the object. Raises ApiError if no request may go to this server."""
_Answer = TypeVar("_Answer")

JSON = "application/json"
_LARGEST_BODY = 16 << 20
_CONNECT_TIMEOUT_S = 5.0
_PATH = re.compile(r"(?:/[A-Za-z0-9_~:%\-][A-Za-z0-9._~:%\-]*)+")


def api_path(*segments: str) -> str:
    """Joins quoted segments to an API path. Raises ValueError if a segment would change the path's structure."""
    for segment in segments:
        if not segment or segment.startswith("."):
            raise ValueError(f"{segment!r} cannot be part of an API path")
    return "".join("/" + quote(segment, safe="") for segment in segments)


class KubeApi:
    """JSON requests. Thread-safe. The first request loads the credentials.

    Every method raises ApiError if the server rejects a request or is unreachable, KubeconfigError without usable
    credentials, and ValueError for a malformed path. After status 401 the credentials are reloaded and the request is
    repeated once. Only calls that need new credentials wait for them.
    """

    def __init__(
        self,
        load: Callable[[], Configuration],
        timeout_s: float = 20.0,
        guard: Guard = lambda _: None,
        longest_load_s: float = 0.0,
        stamp: Callable[[], object] = lambda: None,
    ) -> None:
        """
        Args:
            load: reads the credentials.
            timeout_s: limit for a request and the guard's, from the connection to the last byte of the response.
            guard: called before the first request with new credentials, and after `distrust`.
            longest_load_s: upper bound in seconds for `load`.
            stamp: returns another value after the file of the credentials was replaced or changed.
        """
        self._load = load
        self._new_client = Shared(self._replaced)
        self._timeout_s = timeout_s
        self._longest_load_s = longest_load_s
        self._guard = guard
        self._stamp = stamp
        self._loaded: object = None  # the stamp of the credentials in use
        self._seen: object = None  # the last one that was reported
        self._trusted: Any = None
        self._client: Any = None

    @property
    def server(self) -> str:
        """URL of the API server, or a placeholder while it is unknown."""
        client = self._client
        return str(client.configuration.host) if client else "the API server"

    @property
    def patience_s(self) -> float:
        """Upper bound in seconds for one call.

        It may load the first credentials, send the request, load others, and send it again.
        """
        return 2 * (self._timeout_s + self._longest_load_s)

    def get(self, path: str, query: Query = (), accept: str = JSON) -> Json:
        return self._json("GET", path, query, accept=accept)

    def post(self, path: str, body: Json) -> Json:
        return self._json("POST", path, (), body, JSON)

    def patch(self, path: str, body: Json) -> Json:
        """Sends a merge patch (RFC 7386)."""
        return self._json("PATCH", path, (), body, "application/merge-patch+json")

    def stream(self, path: str, query: Query, read_timeout_s: float, accept: str = JSON) -> LineStream:
        """Streams the lines of the response until the server ends it; `read_timeout_s` limits silence before a line."""

        def ask(client: Any) -> LineStream:
            response = self._accepted(client, "GET", path, query, read_timeout_s=read_timeout_s, accept=accept)
            return LineStream(response, f"GET {path}", read_timeout_s, self._timeout_s)

        return self._with_credentials(ask)

    def reload(self) -> None:
        """Reloads the credentials for later requests. Raises KubeconfigError, which leaves the old ones in use."""
        self._new_client.made_from_now_on()

    def refresh(self) -> None:
        """Loads the credentials if their file has changed since. Logs each change once, good or bad.

        Unusable ones leave the old in use, and the next call tries again.
        """
        stamp = self._stamp()
        if self._client is None or stamp == self._loaded:
            return
        try:
            self.reload()
        except KubeconfigError as error:
            if stamp != self._seen:
                _log.warning("the old credentials stay in use: %s", error)
            self._seen = stamp

    def distrust(self) -> None:
        """Has the guard check the server before the next request."""
        self._trusted = None

    def close(self) -> None:
        """Closes idle connections."""
        if client := self._client:
            client.close()

    def _json(
        self,
        method: str,
        path: str,
        query: Query,
        body: Json | None = None,
        content_type: str = "",
        accept: str = JSON,
    ) -> Json:
        return self._with_credentials(
            lambda client: self._object(client, method, path, query, body, content_type, accept)
        )

    def _object(
        self,
        client: Any,
        method: str,
        path: str,
        query: Query = (),
        body: Json | None = None,
        content_type: str = "",
        accept: str = JSON,
    ) -> Json:
        response = self._accepted(client, method, path, query, body, content_type, accept)
        what = f"{method} {path}"
        return decode_object(read_body(response, _LARGEST_BODY, what), what, response.status)

    def _with_credentials(self, ask: Callable[[Any], _Answer]) -> _Answer:
        """Asks within the time limit, and once more with new credentials if the server rejects these."""
        client = self._current_client()
        try:
            return self._in_time(client, ask)
        except ApiError as refused:
            if refused.status != HTTPStatus.UNAUTHORIZED:
                raise
            client = self._renewed_client(client, refused)
        return self._in_time(client, ask)

    def _in_time(self, client: Any, ask: Callable[[Any], _Answer]) -> _Answer:
        with TimeLimit(self._timeout_s):
            if client is not self._trusted:
                self._guard(lambda path: self._object(client, "GET", path))
                self._trusted = client
            return ask(client)

    def _accepted(
        self,
        client: Any,
        method: str,
        path: str,
        query: Query,
        body: Json | None = None,
        content_type: str = "",
        accept: str = JSON,
        read_timeout_s: float | None = None,
    ) -> BaseHTTPResponse:
        """Sends a request and returns its 2xx response, with the body unread."""
        if _PATH.fullmatch(path) is None:
            raise ValueError(f"{path!r} is not an API path")
        headers = {"Accept": accept} | ({"Content-Type": content_type} if content_type else {})
        timeouts = (_CONNECT_TIMEOUT_S, read_timeout_s or self._timeout_s)
        response = self._send(client, method, path, list(query), headers, body, timeouts)
        if not 200 <= response.status < 300:
            raise refusal(response, f"{method} {path}")
        return response

    def _send(
        self,
        client: Any,
        method: str,
        path: str,
        query: list[tuple[str, str]],
        headers: dict[str, str],
        body: Json | None,
        timeouts: tuple[float, float],
    ) -> BaseHTTPResponse:
        request = client.param_serialize(
            method, path, query_params=query, header_params=headers, body=body, auth_settings=["BearerToken"]
        )
        with transport_errors(f"{method} {client.configuration.host}{path}"):
            try:
                return _exchange(client, request, timeouts)
            except (ClosedPoolError, ProtocolError) as error:
                # The server closed an idle connection just as we took it. A POST may have been executed already.
                if method == "POST" and not isinstance(error, ClosedPoolError):
                    raise
            except TRANSPORT_ERRORS:
                client.rest_client.close()  # the cause of this failure has probably broken idle connections too
                raise
            return _exchange(client, request, timeouts)

    def _current_client(self) -> Any:
        return self._client or self._new_client.made(lambda: self._client)

    def _renewed_client(self, refused_client: Any, refused: ApiError) -> Any:
        """Reloads the credentials once, even if many threads got status 401 at the same time."""
        try:
            return self._new_client.made(lambda: None if self._client is refused_client else self._client)
        except KubeconfigError as error:
            raise ApiError(f"{refused}; and there are no newer credentials: {error}", 401) from error

    def _replaced(self) -> Any:
        stamp = self._stamp()  # before the file is read: a change meanwhile is one more
        client = make_client(self._load())
        previous, self._client = self._client, client
        if previous:
            previous.close()
            if stamp != self._loaded:
                _log.info("the credentials were replaced; requests go to %s", self.server)
        self._loaded = self._seen = stamp
        return client


def _exchange(client: Any, request: Any, timeouts: tuple[float, float]) -> BaseHTTPResponse:
    response: BaseHTTPResponse = client.call_api(*request, _request_timeout=timeouts).response
    return response
