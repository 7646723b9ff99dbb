"""The wire of the API stand-in: HTTP/1.1 connections, chunked watch streams, and the faults that a wire can have."""

from __future__ import annotations

import contextlib
import json
import select
import socket
import ssl
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, cast

from lab.apirequest import Request, parse
from lab.apistore import RESOURCES, ApiFailure, Json, selection

if TYPE_CHECKING:
    from lab.apiserver import ApiServer

_POLL_SECONDS = 0.5
_MERGE_PATCH = "application/merge-patch+json"
_METADATA_ONLY = "as=PartialObjectMetadata"


class HttpServer(ThreadingHTTPServer):
    """Listens on loopback, for `api`."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, port: int, api: ApiServer, tls: ssl.SSLContext | None) -> None:
        super().__init__(("127.0.0.1", port), Connection)
        self.api = api
        self.connections: set[Connection] = set()
        if tls:
            # The handshake comes with the first read, in the connection's own thread.
            self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)


class Connection(BaseHTTPRequestHandler):
    """One client connection, in a thread of its own."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    silenced = False

    def setup(self) -> None:
        super().setup()
        self._http = cast(HttpServer, self.server)
        self._api = self._http.api
        self.silenced = self._api.silent
        self._http.connections.add(self)

    def handle(self) -> None:
        with contextlib.suppress(OSError):  # the client is gone
            super().handle()

    def finish(self) -> None:
        self._http.connections.discard(self)
        super().finish()

    def abort(self) -> None:
        """Ends the connection from another thread."""
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.request.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_: object) -> None:
        """Nothing is printed: requests are in the `RequestLog`."""

    def handle_one_request(self) -> None:
        if not self._is_silent():
            super().handle_one_request()

    def do_GET(self) -> None:
        if self._is_silent():
            return
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        request = parse(self.command, self.path)
        self._api.requests.add(request)
        time.sleep(self._api.delay_s)
        try:
            self._api.check(self.path, self.headers.get("Authorization", ""))
            if not request.resource:
                raise ApiFailure(404, "NotFound", "the server could not find the requested resource")
            if request.verb == "watch":
                self._watch(request)
            else:
                self._send(200, self._answer(request, json.loads(raw or "{}")))
        except ApiFailure as failure:
            self._send(failure.code, failure.status, failure.retry_after)

    do_POST = do_PATCH = do_GET  # noqa: N815

    def _answer(self, request: Request, body: Json) -> Json:
        named = request.resource, request.namespace, request.name
        if request.verb == "create":
            body["metadata"].setdefault("namespace", request.namespace)
            return self._api.create(body)
        if request.verb == "get":
            return self._api.get(*named)
        if request.verb == "list":
            selects, query = selection(request.namespace, request.query), request.query
            limit, token = int(query.get("limit", 0)), query.get("continue", "")
            version, items, token = self._api.page(request.resource, selects, limit, token)
            if request.resource == "pods" and self._api.empty_lists:
                self._api.empty_lists -= 1
                items, token = [], ""
            metadata = {"resourceVersion": str(version), "continue": token}
            return {"kind": f"{self._kind(request)}List", "metadata": metadata, "items": [*map(self._shown, items)]}
        if self.headers["Content-Type"] != _MERGE_PATCH:
            raise ApiFailure(415, "UnsupportedMediaType", f"accepted media types: {_MERGE_PATCH}")
        return self._api.patch(*named, body)

    def _kind(self, request: Request) -> str:
        """Of the objects in the answer."""
        if self._shows_metadata_only():
            return "PartialObjectMetadata"
        return next(each.kind for each in RESOURCES if each.plural == request.resource)

    def _shown(self, obj: Json) -> Json:
        if self._shows_metadata_only():
            return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}
        return obj

    def _shows_metadata_only(self) -> bool:
        return _METADATA_ONLY in self.headers.get("Accept", "")

    def _send(self, code: int, obj: Json, retry_after: int | None = None) -> None:
        if self._is_silent():
            return
        body = _encode(obj)
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if retry_after is not None:
            self.send_header("Retry-After", str(retry_after))
        self.end_headers()
        self.wfile.write(body)

    def _watch(self, request: Request) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            self._send_changes(request)
        except ApiFailure as failure:
            self._send_event("ERROR", failure.status)
        if not self.close_connection:
            self.wfile.write(b"0\r\n\r\n")

    def _send_changes(self, request: Request) -> None:
        """From the version asked for until the time is up or the client has gone."""
        selects, version = selection(request.namespace, request.query), int(request.query["resourceVersion"])
        started = bookmarked = time.monotonic()
        self._api.changes_after(request.resource, version, starting=True)
        while time.monotonic() - started < float(request.query["timeoutSeconds"]) and not self._is_gone():
            with self._api.changed:
                if version == self._api.version:
                    self._api.changed.wait(min(_POLL_SECONDS, self._api.bookmark_s))
                changes, version = self._api.changes_after(request.resource, version), self._api.version
            for kind, obj in filter(None, (change.seen_by(selects) for change in changes)):
                self._send_event(kind, self._shown(obj))
            if time.monotonic() - bookmarked >= self._api.bookmark_s:
                bookmarked = time.monotonic()
                self._send_event(
                    "BOOKMARK", {"kind": self._kind(request), "metadata": {"resourceVersion": str(version)}}
                )

    def _send_event(self, kind: str, obj: Json) -> None:
        """One line of a watch, as one chunk."""
        if self.close_connection or self._is_silent():
            return
        line = _encode({"type": kind, "object": obj}) + b"\n"
        if kind != "BOOKMARK" and self._api.truncates_next:
            self._api.truncates_next = False
            line = line[: len(line) // 2]
            self.close_connection = True
        self.wfile.write(b"%x\r\n%b\r\n" % (len(line), line))

    def _is_gone(self) -> bool:
        """Whether the client has closed the connection, or the server does."""
        if self.close_connection:
            return True
        if isinstance(self.request, ssl.SSLSocket) or not select.select([self.request], [], [], 0)[0]:
            return False  # with TLS, the next write fails
        return not self.request.recv(1, socket.MSG_PEEK)

    def _is_silent(self) -> bool:
        """Whether nothing is sent any more; returns when the connection ends then. The kernel goes on acknowledging."""
        if self.silenced:
            self.close_connection = True
            while self.request.recv(65536):
                pass
        return self.silenced


def _encode(obj: Json) -> bytes:
    return json.dumps(obj, separators=(",", ":"), ensure_ascii=False).encode()
