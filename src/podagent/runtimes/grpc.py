"""One unary gRPC call over a unix socket. Each has a connection of its own: nothing is shared, or has to reconnect.

https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
"""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from contextlib import closing, suppress
from urllib.parse import unquote

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, DataReceived, Event, ResponseReceived, StreamReset, TrailersReceived
from h2.exceptions import H2Error

from podagent.errors import RuntimeUnavailable
from podagent.foreign import excerpt

LARGEST_MESSAGE = 16 * 1024 * 1024
"""Bytes. That of the kubelet's client."""
NOT_FOUND, UNIMPLEMENTED = 5, 12

_PREFIX = 5  # a message is preceded by a flag of compression, and its length in four bytes
_STREAM = 1
_READ = 65536


class CallFailed(RuntimeUnavailable):
    """The server answers with a status other than OK.

    Attributes:
        status: ``grpc-status``.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{excerpt(message, keep_end=False)} (gRPC status {status})")
        self.status = status


def call(address: str, method: str, message: bytes, deadline: float) -> bytes:
    """Calls a method, and returns the message that it answers.

    Args:
        address: path of the socket.
        method: such as ``/runtime.v1.RuntimeService/Version``.
        message: at most some kilobytes, sent before the server has said how much it takes.
        deadline: when the call has to be over, in seconds of the monotonic clock. The server is not told: a call ends
            with its connection.

    Raises:
        CallFailed: the server reports an error.
        RuntimeUnavailable: there is no answer in time, or none of gRPC.
    """
    try:
        with closing(socket.socket(socket.AF_UNIX)) as sock:
            return _Call(sock, deadline).made(address, method, message)
    except (H2Error, OSError, ValueError) as error:
        raise RuntimeUnavailable(excerpt(f"{type(error).__name__}: {error}")) from error


class _Call:
    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._sock = sock
        self._deadline = deadline
        # Its settings stay as they are. Changed before the preface, they would stop the flow at 64 KiB.
        self._http = H2Connection(H2Configuration(client_side=True, header_encoding=None))
        self._body = bytearray()
        self._trailers: Mapping[str, str] | None = None

    def made(self, address: str, method: str, message: bytes) -> bytes:
        self._in_time().connect(address)
        self._http.initiate_connection()
        self._http.send_headers(_STREAM, _headers(method))
        self._http.send_data(_STREAM, b"\0" + len(message).to_bytes(4, "big") + message, end_stream=True)
        while self._trailers is None:
            with suppress(BrokenPipeError):  # what a server has sent before it hangs up is there to be read
                self._in_time().sendall(self._http.data_to_send())
            received = self._in_time().recv(_READ)
            if not received:
                raise ValueError("the connection was closed before the end of the answer")
            for event in self._http.receive_data(received):
                if self._trailers is None:  # else the answer is complete, whatever becomes of the connection
                    self._take(event)
        _require_ok(self._trailers)
        return _message(bytes(self._body))

    def _in_time(self) -> socket.socket:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("no answer in time")
        self._sock.settimeout(left)
        return self._sock

    def _take(self, event: Event) -> None:
        if isinstance(event, ConnectionTerminated):
            raise ValueError(f"the server ends the connection, error {int(event.error_code or 0)}")  # noqa: TRY004
        if getattr(event, "stream_id", None) != _STREAM:
            return
        if isinstance(event, ResponseReceived):
            headers = _texts(event.headers)
            _require_grpc(headers)
            if event.stream_ended:
                self._trailers = headers
        elif isinstance(event, TrailersReceived):
            self._trailers = _texts(event.headers)
        elif isinstance(event, DataReceived):
            self._take_data(event)
        elif isinstance(event, StreamReset):
            raise ValueError(f"the server ends the call, error {int(event.error_code or 0)}")  # noqa: TRY004

    def _take_data(self, event: DataReceived) -> None:
        if event.stream_ended:
            raise ValueError("the answer ends without a status")
        self._body += event.data or b""
        if len(self._body) > _PREFIX + LARGEST_MESSAGE:
            raise ValueError(f"the answer is larger than {LARGEST_MESSAGE >> 20} MiB")
        self._http.acknowledge_received_data(event.flow_controlled_length or 0, _STREAM)


def _headers(method: str) -> list[tuple[str, str]]:
    return [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", method),
        (":authority", "localhost"),
        ("content-type", "application/grpc"),  # CRI-O compares it: with a suffix, it closes the connection
        ("te", "trailers"),
    ]


def _texts(headers: object) -> dict[str, str]:
    pairs = headers if isinstance(headers, list) else []
    return {_text(name): _text(value) for name, value in pairs}


def _text(value: bytes | str) -> str:
    return value if isinstance(value, str) else value.decode(errors="replace")


def _require_grpc(headers: Mapping[str, str]) -> None:
    status, kind = headers.get(":status"), headers.get("content-type", "")
    if status != "200" or not (kind + "+").startswith(("application/grpc+", "application/grpc;")):
        raise ValueError(f"no answer of gRPC: HTTP status {status}, content-type {kind or 'missing'}")


def _require_ok(trailers: Mapping[str, str]) -> None:
    text = trailers.get("grpc-status", "")
    if not (text.isascii() and text.isdigit() and len(text) < 4):
        raise ValueError(f"the answer has no status, but grpc-status {text or 'missing'}")
    if int(text):
        raise CallFailed(int(text), unquote(trailers.get("grpc-message", "")))


def _message(body: bytes) -> bytes:
    if len(body) < _PREFIX:
        raise ValueError("the answer has no message")
    if body[0]:
        raise ValueError("the answer is compressed, although that was not asked for")
    if int.from_bytes(body[1:_PREFIX], "big") != len(body) - _PREFIX:
        raise ValueError("the length of the answer is not the one that it states")
    return body[_PREFIX:]
