"""Owns every request to the API server: authentication, timeouts, errors, the credentials' renewal.

It knows nothing of pods or networks, never waits between tries and keeps no objects.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import quote

from kubernetes.client import ApiClient, Configuration
from urllib3.exceptions import ClosedPoolError, ProtocolError
from urllib3.response import BaseHTTPResponse

from podagent import __version__
from podagent.errors import ApiError, KubeconfigError
from podagent.foreign import Json
from podagent.kube.answers import TRANSPORT_ERRORS, decode_object, read_body, refusal, transport_errors
from podagent.kube.stream import LineStream

Query = Iterable[tuple[str, str]]

_LARGEST_BODY = 16 << 20
_CONNECT_TIMEOUT_S = 5.0
_PATH = re.compile(r"(?:/[A-Za-z0-9_~:%\-][A-Za-z0-9._~:%\-]*)+")


def api_path(*segments: str) -> str:
    """A path of the API from its segments, each quoted; ValueError for one that would change the path's shape."""
    for segment in segments:
        if not segment or segment.startswith("."):
            raise ValueError(f"{segment!r} cannot be part of an API path")
    return "".join("/" + quote(segment, safe="") for segment in segments)


class KubeApi:
    """Requests with JSON answers. Thread-safe. The credentials are loaded by the first request.

    Every method raises ApiError when the server refuses or cannot be reached, KubeconfigError while there are no
    usable credentials, and ValueError for a path that `api_path` could not have made. When the server does not take
    the credentials (401) they are loaded again and the request is repeated, once.
    """

    def __init__(self, load: Callable[[], Configuration], timeout_s: float = 10.0) -> None:
        """`load`: reads the credentials afresh. `timeout_s`: for an answer to begin, and again for it to end."""
        self._load = load
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._client: Any = None

    @property
    def server(self) -> str:
        """URL of the API server, or words for it while it is not known."""
        client = self._client
        return str(client.configuration.host) if client else "the API server"

    @property
    def patience_s(self) -> float:
        """The longest that one call without a read timeout of its own may take."""
        return 2 * (_CONNECT_TIMEOUT_S + 2 * self._timeout_s)

    def get(self, path: str, query: Query = ()) -> Json:
        return self._json("GET", path, query)

    def post(self, path: str, body: Json) -> Json:
        return self._json("POST", path, (), body, "application/json")

    def patch(self, path: str, body: Json) -> Json:
        """Merge patch (RFC 7386)."""
        return self._json("PATCH", path, (), body, "application/merge-patch+json")

    def stream(self, path: str, query: Query, read_timeout_s: float) -> LineStream:
        """The answer line by line, until the server ends it; `read_timeout_s`: the longest silence."""
        return LineStream(self._accepted("GET", path, query, read_timeout_s=read_timeout_s), f"GET {path}")

    def reload(self) -> None:
        """Load the credentials again, for requests from now on. KubeconfigError leaves the present ones in use."""
        with self._lock:
            self._replace_client()

    def close(self) -> None:
        """Close idle connections."""
        with self._lock:
            if self._client:
                self._client.close()

    def _json(self, method: str, path: str, query: Query, body: Json | None = None, content_type: str = "") -> Json:
        response = self._accepted(method, path, query, body, content_type)
        what = f"{method} {path}"
        return decode_object(read_body(response, _LARGEST_BODY, self._deadline(), what), what, response.status)

    def _accepted(
        self,
        method: str,
        path: str,
        query: Query,
        body: Json | None = None,
        content_type: str = "",
        read_timeout_s: float | None = None,
    ) -> BaseHTTPResponse:
        """An answer of a 2xx status, its body still to be read."""
        if _PATH.fullmatch(path) is None:
            raise ValueError(f"{path!r} is not an API path")
        headers = {"Accept": "application/json"} | ({"Content-Type": content_type} if content_type else {})
        timeouts = (_CONNECT_TIMEOUT_S, read_timeout_s or self._timeout_s)

        def send(client: Any) -> BaseHTTPResponse:
            return self._send(client, method, path, list(query), dict(headers), body, timeouts)

        client = self._current_client()
        response = send(client)
        if response.status == 401:
            refused = refusal(response, self._deadline(), f"{method} {path}")
            response = send(self._renewed_client(client, refused))
        if not 200 <= response.status < 300:
            raise refusal(response, self._deadline(), f"{method} {path}")
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
                # The server closed an idle connection just as we took it. A POST may have been carried out already.
                if method == "POST" and not isinstance(error, ClosedPoolError):
                    raise
            except TRANSPORT_ERRORS:
                client.rest_client.close()  # what broke one connection has probably broken the idle ones too
                raise
            return _exchange(client, request, timeouts)

    def _current_client(self) -> Any:
        client = self._client
        if client is not None:
            return client  # without the lock: somebody may be waiting for an exec plugin while holding it
        with self._lock:
            if self._client is None:
                self._replace_client()
            return self._client

    def _renewed_client(self, refused_client: Any, refused: ApiError) -> Any:
        """Of many threads refused at once, one loads the credentials."""
        with self._lock:
            if self._client is refused_client:
                try:
                    self._replace_client()
                except KubeconfigError as error:
                    raise ApiError(f"{refused}; and there are no newer credentials: {error}", 401) from error
            return self._client

    def _replace_client(self) -> None:
        client = ApiClient(self._load())
        client.user_agent = f"podagent/{__version__}"
        previous, self._client = self._client, client
        if previous:
            previous.close()

    def _deadline(self) -> float:
        return time.monotonic() + self._timeout_s


def _exchange(client: Any, request: Any, timeouts: tuple[float, float]) -> BaseHTTPResponse:
    response: BaseHTTPResponse = client.call_api(*request, _request_timeout=timeouts).response
    return response
