from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from h2.connection import H2Connection

from lab.waiting import eventually
from podagent.errors import RuntimeUnavailable
from podagent.runtimes import grpc
from podagent.runtimes.grpc import CallFailed, call
from unit.runtimes.criserver import OK, SILENCE, Answer, CriServer, framed, message, status

METHOD = "/runtime.v1.RuntimeService/Version"
HTML = ((":status", "200"), ("content-type", "text/html"))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[CriServer]:
    with CriServer(tmp_path / "cri.sock") as server:
        yield server


def asked(server: CriServer, seconds: float = 10.0) -> bytes:
    return call(server.endpoint.removeprefix("unix://"), METHOD, b"request", time.monotonic() + seconds)


def raw(frames: bytes) -> Callable[[H2Connection], None]:
    """Has the server send these bytes."""

    def send(http: H2Connection) -> None:
        http._data_to_send += frames  # type: ignore[attr-defined,unused-ignore]

    return send


def test_a_call_returns_the_message_of_the_answer(server: CriServer) -> None:
    server.answers["Version"] = message(b"answer")
    assert asked(server) == b"answer"
    assert server.calls == [(METHOD, b"request")]


def test_an_answer_counts_though_the_server_ends_the_connection_after_it(server: CriServer) -> None:
    def farewell(http: H2Connection) -> None:
        http.send_headers(1, [("grpc-status", "0")], end_stream=True)
        http.close_connection()

    server.answers["Version"] = Answer(framed(b"answer"), instead=farewell)
    assert asked(server) == b"answer"


@pytest.mark.parametrize("size", [0, 65535, 65536, 1 << 20, grpc.LARGEST_MESSAGE])
def test_an_answer_may_be_larger_than_the_window_of_http2(server: CriServer, size: int) -> None:
    server.answers["Version"] = message(b"x" * size)
    assert asked(server) == b"x" * size


def test_a_failure_of_the_call_has_its_status_and_its_text(server: CriServer) -> None:
    server.answers["Version"] = status(5, "no pod %22a%22%0Ahere")
    with pytest.raises(CallFailed, match=r'^no pod "a" here \(gRPC status 5\)$') as caught:
        asked(server)
    assert caught.value.status == 5
    server.answers["Version"] = Answer(framed(b"part"), trailers=(("grpc-status", "14"), ("grpc-message", "x" * 5000)))
    with pytest.raises(CallFailed) as caught:
        asked(server)
    assert caught.value.status == 14
    assert len(str(caught.value)) < 1100


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (Answer(b"", trailers=(("grpc-status", "0"),)), "has no message"),
        (Answer(framed(b"answer")[:3]), "has no message"),
        (Answer(framed(b"answer")[:-1]), "not the one that it states"),
        (Answer(framed(b"answer") + b"x"), "not the one that it states"),
        (Answer(framed(b"answer") * 2), "not the one that it states"),
        (Answer(b"\0\xff\xff\xff\xffanswer"), "not the one that it states"),
        (Answer(b"\1" + framed(b"answer")[1:]), "compressed"),
        (Answer(framed(b"x" * (grpc.LARGEST_MESSAGE + 1))), "larger than 16 MiB"),
        (Answer(framed(b"x"), ((":status", "503"), OK[1])), "HTTP status 503"),
        (Answer(framed(b"x"), HTML), "content-type text/html"),
        (Answer(framed(b"x"), OK[:1]), "content-type missing"),
        (Answer(framed(b"x"), (OK[0], ("content-type", "application/grpc-web"))), "content-type application/grpc-web"),
        (Answer(headers=None, trailers=(*OK,)), "grpc-status missing"),
        *((Answer(framed(b"x"), trailers=(("grpc-status", text),)), "no status") for text in ("x", "-1", "٣", "9999")),
        (Answer(framed(b"x"), (*OK, ("grpc-status", "0")), None, lambda http: http.end_stream(1)), "without a status"),
        (Answer(framed(b"x"), instead=lambda http: http.reset_stream(1, 8)), "ends the call, error 8"),
        (Answer(framed(b"x"), instead=lambda http: http.close_connection(2)), "ends the connection, error 2"),
        (Answer(framed(b"x"), instead=raw(b"\0\0\4\x08\0\0\0\0\1\0\0\0\0")), "ProtocolError"),
        (Answer(framed(b"x"), instead=raw(b"\0\0\0\x08\0\0\0\0\1")), "FrameDataMissing"),
    ],
)  # fmt: skip
def test_anything_but_a_whole_answer_of_grpc_counts_as_none(server: CriServer, answer: Answer, fault: str) -> None:
    server.answers["Version"] = answer
    with pytest.raises(RuntimeUnavailable, match=fault) as caught:
        asked(server)
    assert not isinstance(caught.value, CallFailed)
    server.answers["Version"] = message(b"answer")
    assert asked(server) == b"answer"


@pytest.mark.parametrize("answer", [SILENCE, Answer(framed(b"x" * 200), trailers=None)])
def test_a_server_that_does_not_end_its_answer_is_given_up_in_time(server: CriServer, answer: Answer) -> None:
    server.answers["Version"] = answer
    begun = time.monotonic()
    with pytest.raises(RuntimeUnavailable, match="TimeoutError"):
        asked(server, 0.3)
    assert 0.25 < time.monotonic() - begun < 5


def test_an_answer_that_drips_is_given_up_in_time(server: CriServer) -> None:
    server.answers["Version"] = Answer(framed(b"x" * 1000), portion=1)
    begun = time.monotonic()
    with pytest.raises(RuntimeUnavailable, match="TimeoutError"):
        asked(server, 0.5)
    assert time.monotonic() - begun < 5


def test_nobody_at_the_socket_counts_as_no_answer(tmp_path: Path) -> None:
    for path in (str(tmp_path / "absent"), "/" + "x" * 200, "a\0b"):
        with pytest.raises(RuntimeUnavailable):
            call(path, METHOD, b"", time.monotonic() + 1)
    with pytest.raises(RuntimeUnavailable, match="no answer in time"):
        call(str(tmp_path / "absent"), METHOD, b"", time.monotonic() - 1)


def test_calls_at_once_share_nothing_and_leave_no_connection(server: CriServer) -> None:
    server.answers["Version"] = message(b"x" * 100_000)
    right: list[bool] = []
    threads = [
        threading.Thread(target=lambda: right.extend(asked(server) == b"x" * 100_000 for _ in range(5)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert right == [True] * 20
    eventually(lambda: server.open == 0, what="the end of all connections")
