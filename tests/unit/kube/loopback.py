"""A server on the loopback interface that gives the answers a test has prepared, over HTTP or HTTPS."""

from __future__ import annotations

import json
import socket
import socketserver
import ssl
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

Answer = Callable[[BaseHTTPRequestHandler], None]


def answer(status: int = 200, body: bytes = b"{}", *headers: tuple[str, str]) -> Answer:
    """An ordinary answer with its length; the connection stays open."""

    def give(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for key, value in (*headers, ("Content-Length", str(len(body)))):
            handler.send_header(key, value)
        handler.end_headers()
        handler.wfile.write(body)

    return give


def raw(answer_bytes: bytes) -> Answer:
    """These bytes and the end of the connection."""

    def give(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(answer_bytes)
        handler.close_connection = True

    return give


def dripping(begin: bytes, drop: bytes) -> Answer:
    """An answer that never ends, a drop at a time."""

    def give(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(begin)
        while True:
            handler.wfile.write(drop)
            time.sleep(0.02)

    return give


DROP = raw(b"")


class Request(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]
    """By their names in lower case."""
    body: Any
    certificate: bool = False
    """Whether the client has shown one."""


_S = TypeVar("_S", bound="Server")


class Server(ThreadingHTTPServer):
    """A context manager. Requests take the next of `answers`, and an empty object after the last."""

    daemon_threads = True

    def __init__(
        self,
        tls: ssl.SSLContext | None = None,
        address: Any = ("127.0.0.1", 0),
        handler: type[BaseHTTPRequestHandler] | None = None,
    ) -> None:
        super().__init__(address, handler or _Handler)
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_side=True)
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.server_port}"
        self.answers: deque[Answer] = deque()
        self.requests: list[Request] = []

    def __enter__(self: _S) -> _S:
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, *_: object) -> None:
        """The client has hung up."""


class Server6(Server):
    """The same on IPv6."""

    address_family = socket.AF_INET6

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(tls, ("::1", 0))
        self.url = self.url.replace("127.0.0.1", "[::1]")


class UnixServer(Server):
    """The same on a Unix socket."""

    address_family = socket.AF_UNIX
    server_port = 0

    def __init__(self, path: Path) -> None:
        super().__init__(address=str(path))

    def server_bind(self) -> None:
        socketserver.TCPServer.server_bind(self)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def _answer(self) -> None:
        sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {key.lower(): value for key, value in self.headers.items()}
        shown = isinstance(self.connection, ssl.SSLSocket) and bool(self.connection.getpeercert(binary_form=True))
        body = json.loads(sent) if sent else None
        self.server.requests.append(Request(self.command, self.path, headers, body, shown))
        give = self.server.answers.popleft() if self.server.answers else answer()
        give(self)

    do_GET = do_POST = do_PATCH = do_CONNECT = _answer  # noqa: N815 - http.server looks for these names

    def log_message(self, *_: object) -> None:
        """Silence."""


class Proxy(Server):
    """An HTTP proxy that leads to `upstream`, whatever server it is asked for; `tunnels` are the names of those."""

    def __init__(self, upstream: Server) -> None:
        super().__init__(handler=_ProxyHandler)
        self.upstream_port = upstream.server_port
        self.tunnels: list[tuple[str, str]] = []
        """Each with the header by which the client identified."""


class _ProxyHandler(_Handler):
    server: Proxy

    def do_CONNECT(self) -> None:
        self.server.tunnels.append((self.path, self.headers.get("Proxy-Authorization", "")))
        with socket.create_connection(("127.0.0.1", self.server.upstream_port)) as upstream:
            self.send_response(200)
            self.end_headers()
            back = threading.Thread(target=_copy, args=(upstream, self.connection), daemon=True)
            back.start()
            _copy(self.connection, upstream)
            back.join()
        self.close_connection = True


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while portion := source.recv(1 << 16):
            sink.sendall(portion)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def kubeconfig(directory: Path, server: str) -> str:
    """Writes a kubeconfig for the server; its path."""
    document = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
        "clusters": [{"name": "k", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
    }
    path = directory / "kubeconfig"
    path.write_text(json.dumps(document))
    return str(path)


class Authority(NamedTuple):
    """A certificate that is signed by itself."""

    certificate: Path
    key: Path

    def context(self, *, ask_for_client: bool = False, need: ssl.VerifyMode = ssl.CERT_REQUIRED) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        if ask_for_client:
            context.load_verify_locations(self.certificate)
            context.verify_mode = ssl.CERT_REQUIRED
        return context


def make_authority(directory: Path, names: str = "IP:127.0.0.1", by: Authority | None = None) -> Authority:
    """Signed `by` another one or by itself. Without key identifiers, which Python 3.13 wants, as in many clusters."""
    made = Authority(directory / "cert.pem", directory / "key.pem")
    signed = ["-CA", by.certificate, "-CAkey", by.key] if by else ["-addext", "basicConstraints=critical,CA:TRUE"]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=leaf" if by else "/CN=lab", "-config", "/dev/stdin", "-addext", f"subjectAltName={names}",
         "-addext", "subjectKeyIdentifier=none", "-addext", "authorityKeyIdentifier=none", *signed,
         "-keyout", made.key, "-out", made.certificate],
        input=b"[req]\ndistinguished_name = none\n[none]\n", check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    return made
