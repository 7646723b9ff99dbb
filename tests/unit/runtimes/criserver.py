"""An HTTP/2 server on a unix socket that gives the answers of CRI that a test has prepared, well or badly."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, RequestReceived, StreamEnded
from h2.exceptions import H2Error

ANSWERS = Path(__file__).parent / "answers"
"""What real runtimes answered; see README there."""

Headers = Sequence[tuple[str, str]]
OK: Headers = ((":status", "200"), ("content-type", "application/grpc"))


def recorded(runtime: str, name: str) -> bytes:
    return (ANSWERS / runtime / name).read_bytes()


def framed(message: bytes) -> bytes:
    """A message with its prefix."""
    return b"\0" + len(message).to_bytes(4, "big") + message


class Answer(NamedTuple):
    """What a call is answered.

    Attributes:
        body: of the answer.
        headers: before it; None for none at all.
        trailers: after it; None for silence.
        instead: what is done in the place of trailers.
        portion: bytes of the body at a time, with a pause between them; 0 for as many as the client takes.
    """

    body: bytes = b""
    headers: Headers | None = OK
    trailers: Headers | None = (("grpc-status", "0"),)
    instead: Callable[[H2Connection], None] | None = None
    portion: int = 0


def message(content: bytes) -> Answer:
    return Answer(framed(content))


def status(number: int, text: str = "") -> Answer:
    """A failure of the call, in an answer that consists of trailers only."""
    return Answer(headers=None, trailers=(*OK, ("grpc-status", str(number)), ("grpc-message", text)))


SILENCE = Answer(headers=None, trailers=None)


class CriServer:
    """A context manager. As CRI-O does, it ends the connection of a call whose content-type has a suffix.

    Attributes:
        answers: by the name of the method: its path, or the last part of that.
        calls: the path and the message of each call.
        sent: by the server in its last connection.
        open: number of connections that are open now.
    """

    def __init__(self, path: Path) -> None:
        self.endpoint = f"unix://{path}"
        self.answers: dict[str, Answer] = {}
        self.calls: list[tuple[str, bytes]] = []
        self.sent = bytearray()
        self.open = 0
        self._counting = threading.Lock()
        self._path = path
        self._listener = socket.socket(socket.AF_UNIX)

    def __enter__(self) -> CriServer:
        self._listener.bind(str(self._path))
        self._listener.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._path.unlink(missing_ok=True)

    @property
    def methods(self) -> list[str]:
        return [path for path, _ in self.calls]

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with self._counting:
            self.open += 1
        with sock:
            with contextlib.suppress(OSError, H2Error):
                _Connection(self, sock).serve()
            with contextlib.suppress(OSError):  # what the client sends meanwhile must not take its answer away
                sock.shutdown(socket.SHUT_WR)
                while sock.recv(65536):
                    pass
        with self._counting:
            self.open -= 1


class _Connection:
    def __init__(self, server: CriServer, sock: socket.socket) -> None:
        self._server = server
        self._sock = sock
        self._http = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self._path = ""
        self._request = b""
        server.sent = bytearray()

    def serve(self) -> None:
        self._http.initiate_connection()
        while not self._has_call():
            pass
        self._server.calls.append((self._path, self._request[5:]))
        answers = self._server.answers
        answer = answers.get(self._path) or answers.get(self._path.rpartition("/")[2]) or status(12, "unknown service")
        self._give(answer)
        while self._receive():
            pass

    def _has_call(self) -> bool:
        """Whether the call has arrived to its end, after another look."""
        ended = False
        for event in self._receive():
            if isinstance(event, RequestReceived):
                headers = {str(name): str(value) for name, value in event.headers}
                self._path = headers[":path"]
                if headers["content-type"] != "application/grpc":
                    raise OSError("no call of gRPC")
            elif isinstance(event, DataReceived):
                self._request += event.data or b""
            ended = ended or isinstance(event, StreamEnded)
        return ended

    def _receive(self) -> list[object]:
        self._send()
        received = self._sock.recv(65536)
        if not received:
            raise OSError("the client has hung up")
        return list(self._http.receive_data(received))

    def _give(self, answer: Answer) -> None:
        if answer.headers is not None:
            self._http.send_headers(1, list(answer.headers))
        for part in self._portions(answer.body, answer.portion):
            self._http.send_data(1, part)
            self._send()
            time.sleep(0.02 if answer.portion else 0)
        if answer.instead:
            answer.instead(self._http)
        elif answer.trailers is not None:
            self._http.send_headers(1, list(answer.trailers), end_stream=True)
        self._send()

    def _portions(self, body: bytes, portion: int) -> Iterator[bytes]:
        at, most = 0, portion or self._http.max_outbound_frame_size
        while at < len(body):
            size = min(self._http.local_flow_control_window(1), most)
            yield body[at : at + size]
            at += size
            if not size:
                self._receive()

    def _send(self) -> None:
        data = self._http.data_to_send()
        self._server.sent += data
        self._sock.sendall(data)
