"""A server on loopback that answers as scripted, whatever it is asked, and a client of it."""

from __future__ import annotations

import json
import threading
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from kubernetes.client import Configuration

from podagent.errors import KubeconfigError
from podagent.kube.api import KubeApi

DROP = None
"""Instead of an answer: the connection is closed."""


class Reply(NamedTuple):
    status: int = 200
    body: bytes = b"{}"
    headers: tuple[tuple[str, str], ...] = ()


class Request(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]
    body: Any


class ScriptedServer(ThreadingHTTPServer):
    """A context manager. Requests take the next reply of `replies`, and an empty object after the last.

    Its client loads one token after the other; `broken` is raised instead when set.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.api = KubeApi(self._load, timeout_s=5)
        self.replies: deque[Reply | None] = deque()
        self.requests: list[Request] = []
        self.broken: KubeconfigError | None = None
        self.loads = 0

    def __enter__(self) -> ScriptedServer:
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.api.close()
        self.shutdown()
        self.server_close()

    def handle_error(self, *_: object) -> None:
        """A client that hangs up is no news."""

    @property
    def tokens(self) -> list[str]:
        """Those of the requests, in order."""
        return [request.headers["authorization"].removeprefix("Bearer ") for request in self.requests]

    def _load(self) -> Configuration:
        if self.broken:
            raise self.broken
        self.loads += 1
        configuration = Configuration(host=self.url, api_key={"BearerToken": f"Bearer token{self.loads}"})
        configuration.retries = False
        return configuration


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ScriptedServer

    def _answer(self) -> None:
        sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {key.lower(): value for key, value in self.headers.items()}
        self.server.requests.append(Request(self.command, self.path, headers, json.loads(sent) if sent else None))
        reply = self.server.replies.popleft() if self.server.replies else Reply()
        if reply is DROP:
            self.close_connection = True
            return
        self.send_response(reply.status)
        for key, value in (*reply.headers, ("Content-Length", str(len(reply.body)))):
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(reply.body)

    do_GET = do_POST = do_PATCH = _answer  # noqa: N815 - http.server looks for these names

    def log_message(self, *_: Any) -> None:
        pass
