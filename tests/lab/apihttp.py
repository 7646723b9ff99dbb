"""The wire of the API stand-in: HTTP/1.1 connections, chunked watch streams, and the faults a wire can have."""

from __future__ import annotations

import contextlib
import json
import select
import socket
import ssl
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

from lab import apihandlers
from lab.apierrors import ApiFailure
from lab.apirequest import Request, RequestLog, Target, parse
from lab.apistore import Store
from lab.apiwatch import Watch
from lab.faults import Faults

Json = dict[str, Any]

_POLL_SECONDS = 0.5


class HttpServer(ThreadingHTTPServer):
    """Listens on loopback; `connections` are the handlers at work."""

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, port: int, store: Store, faults: Faults, log: RequestLog, tls: ssl.SSLContext | None) -> None:
        self.store, self.faults, self.log, self.tls = store, faults, log, tls
        self.bookmark_seconds = 60.0
        self.stopping = threading.Event()
        self._lock = threading.Lock()
        self._connections: set[Connection] = set()
        super().__init__(("127.0.0.1", port), Connection)

    @property
    def connections(self) -> tuple[Connection, ...]:
        with self._lock:
            return tuple(self._connections)

    def enter(self, connection: Connection) -> None:
        with self._lock:
            self._connections.add(connection)

    def leave(self, connection: Connection) -> None:
        with self._lock:
            self._connections.discard(connection)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients come and go: a broken connection is nothing to print."""


class Connection(BaseHTTPRequestHandler):
    """One client connection, in a thread of its own."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    silenced = False
    lab: HttpServer

    def setup(self) -> None:
        self.lab = cast(HttpServer, self.server)
        self.silenced = self.lab.faults.silences_new_connections
        self.lab.enter(self)
        if self.lab.tls and not self.silenced:
            self._secure(self.lab.tls)
        super().setup()

    def _secure(self, tls: ssl.SSLContext) -> None:
        try:
            self.request = tls.wrap_socket(self.request, server_side=True)
        except OSError:
            self.lab.leave(self)  # finish() is not called when setup() fails
            raise

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError, ssl.SSLError, TimeoutError, ValueError):
            super().handle()

    def handle_one_request(self) -> None:
        if self.silenced:
            self.stay_silent()
        else:
            super().handle_one_request()

    def finish(self) -> None:
        try:
            super().finish()
        except (OSError, ValueError):
            pass  # the client is gone; there is nobody to flush to
        finally:
            if isinstance(self.request, ssl.SSLSocket):
                self.request.close()
            self.lab.leave(self)

    def abort(self) -> None:
        """Ends the connection from another thread."""
        with contextlib.suppress(OSError):
            self.request.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_: Any) -> None:
        """The request log is `RequestLog`; nothing is printed."""

    def do_GET(self) -> None:
        self._serve()

    do_POST = do_PATCH = do_DELETE = do_GET  # noqa: N815

    def _serve(self) -> None:
        if self.silenced:
            self.stay_silent()
            return
        body = self._read_body()
        request, target = parse(self.command, self.path, self.lab.store.resources)
        request = replace(request, body=body)
        self.lab.log.add(request)
        if self.lab.faults.delay:
            self.lab.stopping.wait(self.lab.faults.delay)
        try:
            self.lab.faults.check(request.method, request.path, self.headers.get("Authorization", ""))
            if target is None:
                self._send_bytes(404, b"404 page not found\n", "text/plain; charset=utf-8")
            elif request.verb == "watch":
                self._serve_watch(request, target)
            else:
                content_type = self.headers.get("Content-Type", "").split(";")[0].strip()
                self._send(*apihandlers.answer(self.lab.store, request, target, content_type))
        except ApiFailure as failure:
            self._send(failure.code, failure.status(), failure.retry_after)

    def _read_body(self) -> Any:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            return json.loads(raw) if raw else None
        except ValueError:
            return raw.decode(errors="replace")

    def _send(self, code: int, obj: Json, retry_after: int | None = None) -> None:
        self._send_bytes(code, _encode(obj), "application/json", retry_after)

    def _send_bytes(self, code: int, body: bytes, content_type: str, retry_after: int | None = None) -> None:
        if self.silenced:
            self.stay_silent()
            return
        self.send_response(code)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        if retry_after is not None:
            self.send_header("Retry-After", str(retry_after))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def _serve_watch(self, request: Request, target: Target) -> None:
        watch = Watch(self, self.lab.store, request.query, target, self.lab.bookmark_seconds)
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.flush()
        watch.run()
        if not self.close_connection:
            self.wfile.write(b"0\r\n\r\n")
            self.wfile.flush()

    def send_event(self, kind: str, obj: Json, *, may_truncate: bool = True) -> None:
        """One line of a watch, as one chunk."""
        if self.silenced:
            self.stay_silent()
            return
        line = _encode({"type": kind, "object": obj}) + b"\n"
        truncated = may_truncate and self.lab.faults.take_truncation()
        if truncated:
            line = line[: len(line) // 2]
            self.close_connection = True
        self.wfile.write(b"%x\r\n%b\r\n" % (len(line), line))
        self.wfile.flush()

    @property
    def gone(self) -> bool:
        """The client closed the connection, or the server is going away."""
        if self.close_connection or self.lab.stopping.is_set():
            return True
        if not self._readable(0):
            return False
        if isinstance(self.request, ssl.SSLSocket):
            return False  # found out by the next write
        return not self.request.recv(1, socket.MSG_PEEK)

    def stay_silent(self) -> None:
        """The kernel goes on acknowledging; nothing is sent until the client gives up or the server stops."""
        self.close_connection = True
        while not self.lab.stopping.is_set():
            if self._readable(_POLL_SECONDS) and not self._discard():
                return

    def _readable(self, seconds: float) -> bool:
        poll = select.poll()
        poll.register(self.request, select.POLLIN)
        return bool(poll.poll(seconds * 1000))

    def _discard(self) -> bool:
        try:
            return bool(self.request.recv(65536))
        except OSError:
            return False


def _encode(obj: Json) -> bytes:
    return json.dumps(obj, separators=(",", ":"), ensure_ascii=False).encode()
