"""A server on the loopback interface that gives the answers a test has prepared, over HTTP or HTTPS."""

from __future__ import annotations

import base64
import ssl
import subprocess
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType

Answer = Callable[[BaseHTTPRequestHandler], None]


def answer(status: int, body: bytes = b"{}", headers: Mapping[str, str] | None = None) -> Answer:
    """An ordinary answer with its length."""

    def give(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    return give


def raw(answer_bytes: bytes) -> Answer:
    """These bytes and the end of the connection."""

    def give(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(answer_bytes)
        handler.close_connection = True

    return give


@dataclass
class Request:
    path: str
    headers: Mapping[str, str]


@dataclass
class Server:
    """Gives `answers` one after the other, the last one again and again."""

    answers: list[Answer]
    tls: ssl.SSLContext | None = None
    requests: list[Request] = field(default_factory=list)

    def __enter__(self) -> Server:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer.requests.append(Request(self.path, dict(self.headers)))
                give = outer.answers[0] if len(outer.answers) == 1 else outer.answers.pop(0)
                give(self)

            def log_message(self, *_: object) -> None:
                """Silence."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if self.tls:
            self._server.socket = self.tls.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self._server.server_port}"


def kubeconfig(directory: Path, server: str) -> str:
    """Writes a kubeconfig for the server; its path."""
    path = directory / "kubeconfig"
    path.write_text(
        f"current-context: c\ncontexts: [{{name: c, context: {{cluster: k, user: u}}}}]\n"
        f"clusters: [{{name: k, cluster: {{server: '{server}'}}}}]\nusers: [{{name: u, user: {{token: t}}}}]\n"
    )
    return str(path)


@dataclass(frozen=True)
class Authority:
    """A certificate for 127.0.0.1 and lab.example, signed by itself."""

    certificate: Path
    key: Path

    def context(self, *, ask_for_client: bool = False) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        if ask_for_client:
            context.load_verify_locations(self.certificate)
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    @property
    def certificate_data(self) -> str:
        return base64.b64encode(self.certificate.read_bytes()).decode()

    @property
    def key_data(self) -> str:
        return base64.b64encode(self.key.read_bytes()).decode()


def make_authority(directory: Path, names: str = "IP:127.0.0.1,DNS:lab.example") -> Authority:
    made = Authority(directory / "cert.pem", directory / "key.pem")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=lab", "-addext",
         f"subjectAltName={names}", "-keyout", made.key, "-out", made.certificate],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    return made
