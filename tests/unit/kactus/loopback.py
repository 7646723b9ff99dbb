"""A server on the loopback interface that gives the answers a test has prepared, over HTTP or HTTPS."""

from __future__ import annotations

import json
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

Answer = Callable[[BaseHTTPRequestHandler], None]


def answer(status: int, body: bytes = b"{}") -> Answer:
    """An ordinary answer with its length; the connection stays open."""

    def give(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return give


def raw(answer_bytes: bytes) -> Answer:
    """These bytes and the end of the connection."""

    def give(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(answer_bytes)
        handler.close_connection = True

    return give


class Request(NamedTuple):
    path: str
    headers: Mapping[str, str]


class Server:
    """Gives `answers` one after the other, the last one again and again."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.answers = [answer(200)]
        self.requests: list[Request] = []

    def handle(self, handler: BaseHTTPRequestHandler) -> None:
        self.requests.append(Request(handler.path, dict(handler.headers)))
        give = self.answers[0] if len(self.answers) == 1 else self.answers.pop(0)
        give(handler)


class _Listening(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """The client has hung up."""


@contextmanager
def serving(tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            served.handle(self)

        def log_message(self, *_: object) -> None:
            """Silence."""

    listening = _Listening(("127.0.0.1", 0), Handler)
    if tls:
        listening.socket = tls.wrap_socket(listening.socket, server_side=True)
    served = Server(f"{'https' if tls else 'http'}://127.0.0.1:{listening.server_port}")
    threading.Thread(target=listening.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield served
    finally:
        listening.shutdown()
        listening.server_close()


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

    def context(self, *, ask_for_client: bool = False) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        if ask_for_client:
            context.load_verify_locations(self.certificate)
            context.verify_mode = ssl.CERT_REQUIRED
        return context


def make_authority(directory: Path, names: str = "IP:127.0.0.1") -> Authority:
    made = Authority(directory / "cert.pem", directory / "key.pem")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=lab", "-addext", f"subjectAltName={names}", "-keyout", made.key, "-out", made.certificate],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    return made
