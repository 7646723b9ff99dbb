from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from lab.waiting import eventually
from podagent.kactus.credentials import Credentials
from podagent.kactus.failure import Failure
from podagent.kactus.pods import Cluster
from podagent.kactus.requests import NotReached, get_json
from podagent.model import DefinitionRef
from unit.kactus.loopback import Answer, Authority, Server, answer, kubeconfig, make_authority, raw

GREEN = DefinitionRef("networks.kaloom.com/v1", "shop", "green")


def reached(server: Server, **more: str | bool) -> Credentials:
    return Credentials("kubeconfig /k", server.url, **more)  # type: ignore[arg-type]


def refused(code: int, ask: Callable[[], object]) -> str:
    with pytest.raises(Failure) as caught:
        ask()
    assert caught.value.code == code
    return caught.value.message


def test_an_object_is_asked_for_with_the_token() -> None:
    with Server([answer(200, b'{"kind": "Pod"}')]) as server:
        assert get_json(reached(server, token="secret"), "/api/v1/x") == {"kind": "Pod"}
        assert server.requests[0].path == "/api/v1/x"
        assert server.requests[0].headers["Authorization"] == "Bearer secret"


def test_the_path_of_the_servers_url_comes_first() -> None:
    with Server([answer(200)]) as server:
        get_json(Credentials("k", f"{server.url}/clusters/one/"), "/api/v1/x")
        assert server.requests[0].path == "/clusters/one/api/v1/x"


def test_what_is_not_there_is_none() -> None:
    with Server([answer(404, b'{"kind": "Status"}')]) as server:
        assert get_json(reached(server), "/x") is None


def test_an_answer_in_chunks_is_read() -> None:
    chunks = b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n{"a"\r\n4\r\n: 1}\r\n0\r\n\r\n'
    with Server([raw(chunks)]) as server:
        assert get_json(reached(server), "/x") == {"a": 1}


def test_a_server_that_keeps_the_connection_open_is_not_waited_for() -> None:
    with Server([answer(200, b'{"a": 1}', {"Connection": "keep-alive"})]) as server:
        begun = time.monotonic()
        assert get_json(reached(server), "/x", silence_s=20) == {"a": 1}
        assert time.monotonic() - begun < 10


@pytest.mark.parametrize("status", [401, 403, 302, 400])
def test_a_refusal_is_told_with_the_servers_reason(status: int) -> None:
    with Server([answer(status, b'{"message": "not for you"}')]) as server:
        told = refused(11, lambda: get_json(reached(server), "/x"))
        assert f"answers {status}: not for you" in told
        assert len(server.requests) == 1


def test_a_refusal_that_is_no_json_is_told_printably() -> None:
    with Server([answer(403, b"\x1b[2J\xff" * 1000)]) as server:
        told = refused(11, lambda: get_json(reached(server), "/x"))
        assert told.isprintable()
        assert len(told) < 2000


RUBBISH: list[Answer] = [
    answer(200, b"<html>"),
    answer(200, b"[]"),
    answer(200, b""),
    answer(200, b'{"a": 1', {}),
    answer(200, b"[" * 100_000),
    raw(b"rubbish\r\n\r\n"),
    raw(b""),
    raw(b'HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{"a"'),
    raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
    answer(500, b"{}"),
    answer(503, b"{}"),
    answer(429, b"{}"),
]


@pytest.mark.parametrize("given", RUBBISH)
def test_what_may_be_better_in_a_moment_is_worth_another_attempt(given: Answer) -> None:
    with Server([given]) as server, pytest.raises(NotReached):
        get_json(reached(server), "/x")


def test_an_answer_without_end_is_not_read_to_the_end() -> None:
    def flood(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
        for _ in range(17):
            handler.wfile.write(b" " * (1 << 20))

    with Server([flood]) as server, pytest.raises(NotReached):
        get_json(reached(server), "/x")


def test_a_silent_server_is_given_up() -> None:
    with Server([lambda handler: time.sleep(5)]) as server, pytest.raises(NotReached, match="timed out"):
        get_json(reached(server), "/x", silence_s=0.1)


def test_a_server_that_drips_is_given_up() -> None:
    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        with contextlib.suppress(OSError):  # the client hangs up
            for _ in range(1000):
                handler.wfile.write(b" ")
                time.sleep(0.005)

    with Server([drip]) as server, pytest.raises(NotReached, match="longer than"):
        get_json(reached(server), "/x", whole_answer_s=0.1)


def test_a_server_that_is_not_there_is_told_by_its_url() -> None:
    with Server([answer(200)]) as server:
        gone = reached(server)
    with pytest.raises(NotReached, match=gone.server):
        get_json(gone, "/x")


def test_a_server_with_a_certificate_of_the_kubeconfigs_authority_is_trusted(authority: Authority) -> None:
    with Server([answer(200)], authority.context()) as server:
        assert get_json(reached(server, ca_file=str(authority.certificate)), "/x") == {}
        assert get_json(reached(server, ca_data=authority.certificate.read_text()), "/x") == {}


def test_a_server_with_another_certificate_is_not_asked(authority: Authority, tmp_path: Path) -> None:
    other = make_authority(tmp_path)
    with Server([answer(200)], other.context()) as server:
        with pytest.raises(NotReached, match="certificate"):
            get_json(reached(server, ca_file=str(authority.certificate), token="secret"), "/x")
        with pytest.raises(NotReached, match="certificate"):
            get_json(reached(server, token="secret"), "/x")
        assert server.requests == []


def test_a_certificate_for_another_name_is_not_trusted_unless_that_name_is_expected(tmp_path: Path) -> None:
    named = make_authority(tmp_path, "DNS:api.example")
    with Server([answer(200)], named.context()) as server:
        with pytest.raises(NotReached, match="certificate"):
            get_json(reached(server, ca_file=str(named.certificate)), "/x")
        expected = reached(server, ca_file=str(named.certificate), tls_server_name="api.example")
        assert get_json(expected, "/x") == {}


def test_any_certificate_will_do_when_the_kubeconfig_says_so(authority: Authority) -> None:
    with Server([answer(200)], authority.context()) as server:
        assert get_json(reached(server, insecure=True), "/x") == {}


def test_a_client_certificate_is_shown(authority: Authority) -> None:
    with Server([answer(200)], authority.context(ask_for_client=True)) as server:
        ours = {"certificate_file": str(authority.certificate), "key_file": str(authority.key)}
        assert get_json(reached(server, ca_file=str(authority.certificate), **ours), "/x") == {}


def test_certificates_that_are_none_are_told_with_the_kubeconfig() -> None:
    bad = Credentials("kubeconfig /k", "https://127.0.0.1:1", ca_data="nonsense")
    assert "kubeconfig /k" in refused(7, lambda: get_json(bad, "/x"))


def test_a_certificate_file_that_is_not_there_yet_is_worth_another_attempt() -> None:
    missing = Credentials("kubeconfig /k", "https://127.0.0.1:1", ca_file="/nowhere/ca.crt")
    assert "kubeconfig /k" in refused(11, lambda: get_json(missing, "/x"))


def test_an_impossible_host_name_is_told_without_the_token() -> None:
    credentials = Credentials("kubeconfig /k", f"http://{'x' * 80}.example", token="secret")
    assert "secret" not in refused(7, lambda: get_json(credentials, "/x"))


# --- the questions --------------------------------------------------------------------------------------------------


def test_a_pods_annotation_is_what_the_api_server_says(tmp_path: Path) -> None:
    with Server([answer(200, b'{"metadata": {"annotations": {"networks": "[]"}}}')]) as server:
        assert Cluster(kubeconfig(tmp_path, server.url)).annotation("shop", "web-0") == "[]"
        assert server.requests[0].path == "/api/v1/namespaces/shop/pods/web-0"


@pytest.mark.parametrize(
    "pod", [b"{}", b'{"metadata": null}', b'{"metadata": []}', b'{"metadata": {"annotations": null}}',
            b'{"metadata": {"annotations": {"networks": 7}}}', b'{"metadata": {"annotations": "networks"}}']
)  # fmt: skip
def test_a_pod_without_the_annotation_has_none(tmp_path: Path, pod: bytes) -> None:
    with Server([answer(200, pod)]) as server:
        assert Cluster(kubeconfig(tmp_path, server.url)).annotation("shop", "web-0") is None


def test_a_pod_that_is_not_there_is_asked_for_again_by_the_runtime(tmp_path: Path) -> None:
    with Server([answer(404)]) as server:
        told = refused(11, lambda: Cluster(kubeconfig(tmp_path, server.url)).annotation("shop", "web-0"))
        assert told == "pod shop/web-0 is not known to the API server"


def test_a_definition_that_is_not_there_is_none(tmp_path: Path) -> None:
    with Server([answer(404)]) as server:
        assert Cluster(kubeconfig(tmp_path, server.url)).definition(GREEN) is None
        assert server.requests[0].path == "/apis/kaloom.com/v1/namespaces/shop/networks/green"


def test_a_server_in_trouble_is_asked_again(tmp_path: Path) -> None:
    with Server([answer(500), raw(b""), answer(429), answer(200, b'{"spec": {}}')]) as server:
        cluster = Cluster(kubeconfig(tmp_path, server.url), pauses_s=(0.0, 0.0, 0.0))
        assert cluster.definition(GREEN) == {"spec": {}}


def test_a_server_in_lasting_trouble_is_left_to_the_runtime(tmp_path: Path) -> None:
    with Server([answer(500)]) as server:
        cluster = Cluster(kubeconfig(tmp_path, server.url), pauses_s=(0.0, 0.0, 0.0))
        assert "answers 500" in refused(11, lambda: cluster.definition(GREEN))
        eventually(lambda: len(server.requests) == 4, 5)
