"""Requests to a scripted server on loopback, and their answers, as a whole or line by line."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler

import pytest
from kubernetes.client import Configuration
from urllib3.connection import HTTPConnection
from urllib3.response import HTTPResponse

from lab.waiting import eventually
from podagent import __version__
from podagent.errors import AnswerTooLarge, ApiError, KubeconfigError, OtherCluster
from podagent.foreign import Json
from podagent.kube.answers import status_error
from podagent.kube.api import KubeApi, api_path
from podagent.kube.shared import Shared
from podagent.kube.stream import LineStream
from podagent.model import DefinitionRef
from unit.kube.kube_script import ScriptedResponse
from unit.kube.loopback import DROP, Answer, Authority, Server, answer, dripping

BREAK = ConnectionResetError("reset by peer")
DATA = DefinitionRef("networks.kaloom.com/v1", "tenant", "data")


class ApiServer(Server):
    """With a client that loads one token after the other; `broken` is raised instead when set."""

    def __init__(self) -> None:
        super().__init__()
        self.api = KubeApi(self.load, timeout_s=5, guard=self._guard, stamp=lambda: self.stamp)
        self.stamp = 1
        self.refuses: ApiError | None = None
        self.guarded = 0
        self.broken: KubeconfigError | None = None
        self.loads = 0

    @property
    def tokens(self) -> list[str]:
        """Those of the requests, in order."""
        return [request.headers["authorization"].removeprefix("Bearer ") for request in self.requests]

    def _guard(self, get: Callable[[str], Json]) -> None:
        self.guarded += 1
        if self.refuses:
            get("/who")
            raise self.refuses

    def load(self) -> Configuration:
        if self.broken:
            raise self.broken
        self.loads += 1
        configuration = Configuration(host=self.url, api_key={"BearerToken": f"Bearer token{self.loads}"})
        configuration.retries = False
        return configuration


@pytest.fixture
def server() -> Iterator[ApiServer]:
    made = ApiServer()
    with made:
        yield made
        made.api.close()


def test_a_request_carries_its_query_or_its_kind_of_json_the_agents_name_and_a_token(server: ApiServer) -> None:
    server.answers.append(answer(200, b'{"kind": "PodList"}'))
    assert server.api.get("/api/v1/pods", [("limit", "1"), ("fieldSelector", "a!=b")]) == {"kind": "PodList"}
    server.api.post("/api/v1/events", {"a": "ü"})
    server.api.patch("/api/v1/events/x", {"a": None})
    assert [(each.method, each.path, each.headers.get("content-type"), each.body) for each in server.requests] == [
        ("GET", "/api/v1/pods?limit=1&fieldSelector=a%21%3Db", None, None),
        ("POST", "/api/v1/events", "application/json", {"a": "ü"}),
        ("PATCH", "/api/v1/events/x", "application/merge-patch+json", {"a": None}),
    ]
    assert server.requests[0].headers["user-agent"] == f"podagent/{__version__}"
    assert server.requests[0].headers["accept"] == "application/json"
    assert server.tokens == ["token1"] * 3


def test_no_request_reaches_a_server_that_the_guard_refuses(server: ApiServer) -> None:
    server.refuses = OtherCluster("not ours")
    for _ in range(2):
        with pytest.raises(OtherCluster):
            server.api.post("/api/v1/events", {})
    assert [request.path for request in server.requests] == ["/who"] * 2
    server.refuses = None
    server.api.get("/x")
    server.api.get("/x")
    assert server.guarded == 3, "once for the same credentials"
    server.api.distrust()
    server.api.get("/x")
    server.api.reload()
    server.api.get("/x")
    assert server.guarded == 5


def test_credentials_that_expired_before_the_guard_asks_are_renewed(server: ApiServer) -> None:
    server.refuses = OtherCluster("not ours")
    server.answers += [answer(401), answer(200)]
    with pytest.raises(OtherCluster):
        server.api.get("/x")
    assert server.tokens == ["token1", "token2"]


def test_credentials_that_are_replaced_are_reported_once_good_or_bad_and_loaded_once_they_can_be_used(
    server: ApiServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "podagent")
    server.api.refresh()
    server.api.get("/x")
    for server.stamp, server.broken in [(1, None), (2, KubeconfigError("exec plugin p failed")), (2, None)]:
        for _ in range(3):
            server.api.refresh()
            server.api.get("/x")
    assert server.tokens == ["token1"] * 7 + ["token2"] * 3
    assert caplog.messages == [
        "the old credentials stay in use: exec plugin p failed",
        f"the credentials were replaced; requests go to {server.url}",
    ]


def test_a_stream_hands_out_lines(server: ApiServer) -> None:
    server.answers.append(answer(200, b"one\ntwo\n"))
    with server.api.stream("/api/v1/pods", [("watch", "true")], read_timeout_s=5) as stream:
        assert list(stream) == [b"one", b"two"]


@pytest.mark.parametrize(
    ("body", "retry_after", "words", "wait"),
    [
        (b'{"message": "slow\\ndown"}', "7", "slow down", 7),
        *((body, "Wed, 21 Oct 2015", "Too Many Requests", None) for body in (b"", b"<html>", b"[]", b'{"message": 7}')),
        (b"x" * 100_000, "", "Too Many Requests", None),
    ],
)
def test_a_refusal_carries_its_status_the_servers_words_if_usable_and_how_long_to_wait(
    server: ApiServer, body: bytes, retry_after: str, words: str, wait: float | None
) -> None:
    server.answers.append(answer(429, body, ("Retry-After", retry_after)))
    with pytest.raises(ApiError, match=rf"^GET /api/v1/pods: 429 {words}$") as caught:
        server.api.get("/api/v1/pods")
    assert (caught.value.status, caught.value.retry_after) == (429, wait)


@pytest.mark.parametrize(
    ("status", "words", "wait"),
    [
        ({"code": 429, "message": "too\nmany \x1b[31m", "details": {"retryAfterSeconds": 3}}, "429 too many [31m", 3),
        ({}, "500 error without a message", None),
        ({"code": "410", "message": 7}, "500 error without a message", None),
        ({"code": True, "reason": "Expired"}, "500 Expired", None),
        ({"code": 0, "message": "no code"}, "500 no code", None),
        ({"code": 429, "message": "busy", "details": {"retryAfterSeconds": -3}}, "429 busy", None),
        ({"code": 429, "message": "busy", "details": {"retryAfterSeconds": "x"}}, "429 busy", None),
        ({"code": 429, "message": "busy", "details": []}, "429 busy", None),
        ({"message": "x" * 100_000}, "500 " + "x" * 600, None),
    ],
)
def test_a_status_within_a_watch_reads_as_if_fields_of_other_types_were_absent(
    status: Json, words: str, wait: float | None
) -> None:
    error = status_error(status, "watch")
    assert (str(error), error.status, error.retry_after) == (f"watch: {words}", int(words[:3]), wait)


def test_refused_credentials_are_loaded_again_and_the_request_repeated_once(server: ApiServer) -> None:
    server.answers.append(answer(401))
    server.api.get("/x")
    assert server.tokens == ["token1", "token2"]
    server.answers.extend([answer(401), answer(401), answer()])
    with pytest.raises(ApiError, match="401 Unauthorized"):
        server.api.get("/x")
    assert server.tokens == ["token1", "token2", "token2", "token3"]


def test_a_reload_takes_the_newest_credentials_and_a_failed_one_leaves_the_present_ones(server: ApiServer) -> None:
    server.api.get("/x")
    server.api.reload()
    server.broken = KubeconfigError("kubeconfig is not YAML")
    with pytest.raises(KubeconfigError):
        server.api.reload()
    server.api.get("/x")
    assert server.tokens == ["token1", "token2"]
    server.answers.append(answer(401))
    with pytest.raises(ApiError, match=r"401 .*; and there are no newer credentials: kubeconfig is not YAML") as caught:
        server.api.get("/x")
    assert caught.value.status == 401


def test_a_load_that_takes_its_time_is_shared_and_holds_up_only_those_who_need_it(server: ApiServer) -> None:
    begun, end = threading.Event(), threading.Event()

    def load() -> Configuration:
        if server.loads == 1:
            begun.set()
            assert end.wait(20)
        return server.load()

    api = KubeApi(load, timeout_s=5)
    api.get("/x")
    server.answers += [answer(401)] * 4
    refused = [threading.Thread(target=api.get, args=("/x",)) for _ in range(4)]
    for thread in refused:
        thread.start()
    eventually(lambda: not server.answers)
    assert begun.wait(20)
    assert api.get("/x") == {}, "with the present credentials, which may do for this"
    api.close()
    end.set()
    for thread in refused:
        thread.join(20)
    assert (server.loads, server.tokens[-4:]) == (2, ["token2"] * 4)


def test_those_who_wait_share_the_failure_too_and_a_reload_begins_anew() -> None:
    begun, joined, end, loads, faults = (
        threading.Event(),
        threading.Event(),
        threading.Event(),
        list[int](),
        list[str](),
    )

    def fail() -> str:
        loads.append(len(loads))
        begun.set()
        assert end.wait(20)
        raise KubeconfigError(f"number {loads[-1]}")

    def ask(made: Callable[[], str]) -> None:
        with pytest.raises(KubeconfigError) as caught:
            made()
        faults.append(str(caught.value))

    shared = Shared(fail)
    first, second, reload = (
        threading.Thread(target=ask, args=(made,))
        for made in (shared.made, lambda: shared.made(joined.set), shared.made_from_now_on)
    )
    first.start()
    assert begun.wait(20)
    second.start()
    reload.start()
    assert joined.wait(20)
    end.set()
    for thread in (first, second, reload):
        thread.join(20)
    assert sorted(faults) == ["number 0", "number 0", "number 1"]


def test_a_connection_that_the_server_had_closed_costs_nothing(server: ApiServer) -> None:
    for request in (server.api.get, lambda path: server.api.patch(path, {})):
        server.answers.extend([DROP, answer(200, b'{"a": 1}')])
        assert request("/x") == {"a": 1}


def test_an_object_is_not_created_twice_when_the_connection_breaks_or_is_refused(server: ApiServer) -> None:
    server.answers.append(DROP)
    with pytest.raises(ApiError, match=f"POST {server.url}/x: ") as broken:
        server.api.post("/x", {})
    assert len(server.requests) == 1
    server.__exit__()
    server.api.close()
    with pytest.raises(ApiError, match="Connection refused") as refused:
        server.api.get("/x")
    assert (broken.value.status, refused.value.status) == (0, 0)


def test_an_answer_that_is_no_object_or_too_large_to_hold_is_an_error_and_the_next_one_is_read(
    server: ApiServer,
) -> None:
    for body in (b"", b"{", b"[]", b"7", b"\xff\xfe", b"[" * 100_000):
        server.answers.append(answer(200, body))
        with pytest.raises(ApiError, match="GET /x: the answer cannot be used: ") as caught:
            server.api.get("/x")
        assert caught.value.status == 200
    server.answers.append(answer(200, b" " * ((16 << 20) + 1)))
    with pytest.raises(AnswerTooLarge, match="larger than 16777216 bytes"):
        server.api.get("/x")
    assert server.api.get("/x") == {}


HEADERS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.promise("API server: an answer arrives a byte at a time", "the request is given up in time")
@pytest.mark.parametrize(
    "answered",
    [
        dripping(b"HTTP/1.1 200 OK\r\nX: ", b"x"),
        dripping(b"HTTP/1.1 200 OK\r\n", b"X: x\r\n"),
        dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", b"x"),
        dripping(HEADERS, b"1\r\nx\r\n"),
        dripping(HEADERS + b"1;", b"x"),
    ],
    ids=["a header", "headers", "the body", "chunks", "the size of a chunk"],
)
@pytest.mark.parametrize("how", ["whole", "lines"])
def test_an_answer_that_drips_is_given_up_in_time(server: ApiServer, answered: Answer, how: str) -> None:
    server.api = KubeApi(server.load, timeout_s=0.3)
    server.answers.append(answered)
    begun = time.monotonic()
    with pytest.raises(ApiError, match=r"the answer did not end within 0\.3 s") as caught:
        server.api.get("/x") if how == "whole" else list(server.api.stream("/x", (), read_timeout_s=20))
    assert (caught.value.status, time.monotonic() - begun < 5) == (0, True)


def test_an_answer_over_tls_that_drips_is_given_up_in_time(authority: Authority) -> None:
    with Server(authority.context()) as server:
        configuration = Configuration(host=server.url)
        configuration.ssl_ca_cert, configuration.retries = str(authority.certificate), False
        server.answers.append(dripping(HEADERS, b"1\r\nx\r\n"))
        with pytest.raises(ApiError, match=r"the answer did not end within 0\.3 s"):
            KubeApi(lambda: configuration, timeout_s=0.3).get("/x")


def test_silence_between_two_lines_may_last_longer_than_a_line(server: ApiServer) -> None:
    def lines(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(HEADERS)
        for portion in (b"4\r\none\n", b"\r\n", b"4\r\ntwo\n\r\n0\r\n\r\n"):
            handler.wfile.write(portion)
            time.sleep(0.4)

    server.api = KubeApi(server.load, timeout_s=0.3)
    server.answers.append(lines)
    assert list(server.api.stream("/x", (), read_timeout_s=20)) == [b"one", b"two"]


def test_a_path_that_could_mean_another_one_is_never_asked_for_and_its_segments_are_quoted(server: ApiServer) -> None:
    for path in ("", "pods", "/api/../secrets", "/api//pods", "/a?b", "/a#b", "/a b", "/a\n", "/.", "/a/"):
        with pytest.raises(ValueError, match="not an API path"):
            server.api.get(path)
    assert server.requests == []
    assert api_path("api", "v1", "a/b?c") == "/api/v1/a%2Fb%3Fc"
    for segment in ("", ".", "..", "..."):
        with pytest.raises(ValueError, match="cannot be part"):
            api_path("api", segment)


def test_the_name_of_the_server_and_the_longest_a_call_takes(server: ApiServer) -> None:
    server.api.close()
    assert (server.api.server, server.loads) == ("the API server", 0)
    server.api.get("/x")
    assert (server.api.server, server.loads) == (server.url, 1)
    patient = KubeApi(server.load, timeout_s=5, longest_load_s=15)
    assert patient.patience_s == 2 * (5 + 15), "a retry, and new credentials before it"


@pytest.mark.parametrize(
    ("pieces", "lines"),
    [
        ([b"one\ntwo\nthree\n"], [b"one", b"two", b"three"]),
        ([b"one\n", b"two\n", b"three\n"], [b"one", b"two", b"three"]),
        ([b"o", b"ne\ntw", b"o\nthre", b"e", b"\n"], [b"one", b"two", b"three"]),
        ([b"one\ntwo\nthree"], [b"one", b"two", b"three"]),
        ([], []),
        ([b"\n\n"], [b"", b""]),
    ],
)
def test_lines_are_the_same_however_the_answer_comes_in_pieces(pieces: list[bytes], lines: list[bytes]) -> None:
    assert list(LineStream(ScriptedResponse(pieces), "GET /x")) == lines


def test_a_line_without_end_is_refused_before_it_fills_the_memory() -> None:
    with pytest.raises(AnswerTooLarge, match="GET /x: a line is longer than 16777216 bytes"):
        list(LineStream(ScriptedResponse([b"x" * (1 << 20)] * 17), "GET /x"))


def test_the_connection_is_kept_only_when_the_answer_was_read_to_its_end() -> None:
    whole, left = ScriptedResponse([b"one\n"]), ScriptedResponse([b"one\n", b"two\n"])
    broken = ScriptedResponse([b"one\ntw", BREAK])
    with LineStream(whole, "") as stream:
        list(stream)
    with LineStream(left, "") as stream:
        next(iter(stream))
    came: list[bytes] = []
    with pytest.raises(ApiError, match="GET /x: reset by peer") as caught, LineStream(broken, "GET /x") as stream:
        came.extend(stream)
    assert (came, caught.value.status) == ([b"one"], 0)
    assert [response.calls for response in (whole, left, broken)] == [[], ["close"], ["close"]]


def test_an_abort_that_comes_too_late_is_no_trouble() -> None:
    def gone(_: int) -> None:
        raise OSError("gone")

    connection = HTTPConnection("127.0.0.1")
    for of_its_socket in ({}, {"sock_shutdown": gone}, {"sock_shutdown": gone, "connection": connection}):
        LineStream(HTTPResponse(body=io.BytesIO(), preload_content=False, **of_its_socket), "").abort()
