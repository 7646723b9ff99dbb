from __future__ import annotations

import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from lab.waiting import eventually
from podagent.kactus.connections import route
from podagent.kactus.failure import Failure
from podagent.kactus.pods import Cluster
from podagent.kactus.requests import NotReached, get_json
from podagent.kubeconfig.reader import Credentials
from podagent.model import DefinitionRef
from unit.kube.loopback import DROP, Answer, Authority, Proxy, Server, answer, dripping, kubeconfig, make_authority, raw

GREEN = DefinitionRef("networks.kaloom.com/v1", "shop", "green")


def credentials(server: Server) -> Credentials:
    return Credentials("kubeconfig /k", server.url)


def refused(code: int, ask: Callable[[], object]) -> str:
    with pytest.raises(Failure) as caught:
        ask()
    assert caught.value.code == code
    return caught.value.message


def test_an_object_is_asked_for_with_the_token_below_the_servers_path(server: Server) -> None:
    server.answers.append(answer(200, b'{"kind": "Pod"}'))
    found = get_json(Credentials("k", f"{server.url}/clusters/one/", authorization="Bearer secret"), "/api/v1/x")
    assert found == {"kind": "Pod"}
    assert server.requests[0].path == "/clusters/one/api/v1/x"
    assert server.requests[0].headers["authorization"] == "Bearer secret"


@pytest.mark.parametrize(("scheme", "port"), [("https", 443), ("http", 80)])
def test_an_ipv6_server_without_a_port_has_that_of_its_scheme(scheme: str, port: int) -> None:
    connection = route(Credentials("k", f"{scheme}://[fd00:10:96::1]"), 1).connection
    assert (connection.host, connection.port) == ("fd00:10:96::1", port)


def test_an_answer_in_chunks_is_read(server: Server) -> None:
    server.answers.append(
        raw(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n{"a"\r\n4\r\n: 1}\r\n0\r\n\r\n')
    )
    assert get_json(credentials(server), "/x") == {"a": 1}


def test_a_server_that_keeps_the_connection_open_is_not_waited_for(server: Server) -> None:
    begun = time.monotonic()
    assert get_json(credentials(server), "/x", silence_s=20) == {}
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize("status", [401, 403, 302, 400])
def test_a_refusal_is_reported_with_the_servers_reason(server: Server, status: int) -> None:
    server.answers.append(answer(status, b'{"message": "not for you"}'))
    assert f"answers {status}: not for you" in refused(11, lambda: get_json(credentials(server), "/x"))
    assert len(server.requests) == 1


def test_a_refusal_that_is_no_json_is_reported_printably(server: Server) -> None:
    server.answers.append(answer(403, b"\x1b[2J\xff" * 1000))
    reported = refused(11, lambda: get_json(credentials(server), "/x"))
    assert reported.isprintable()
    assert len(reported) < 2000


def flood(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
    for _ in range(17):
        handler.wfile.write(b" " * (1 << 20))


RUBBISH: list[Answer] = [
    *(answer(200, body) for body in (b"<html>", b"[]", b"", b'{"a": 1', b"[" * 100_000)),
    *(answer(status) for status in (500, 503, 429)),
    raw(b"rubbish\r\n\r\n"),
    DROP,
    raw(b'HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{"a"'),
    raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
    flood,
]


@pytest.mark.parametrize("given", RUBBISH)
def test_an_answer_that_may_be_better_in_a_moment_is_worth_another_attempt(server: Server, given: Answer) -> None:
    server.answers.append(given)
    with pytest.raises(NotReached):
        get_json(credentials(server), "/x")


def test_a_server_that_is_silent_or_drips_is_given_up(server: Server) -> None:
    server.answers.append(lambda handler: time.sleep(5))
    with pytest.raises(NotReached, match="timed out"):
        get_json(credentials(server), "/x", silence_s=0.05)
    for begin in (b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: "):
        server.answers.append(dripping(begin, b" "))
        with pytest.raises(NotReached, match=r"the answer did not end within 0\.1 s"):
            get_json(credentials(server), "/x", whole_answer_s=0.1)


def test_a_server_that_is_not_there_is_reported_by_its_url() -> None:
    with Server() as server:
        pass
    with pytest.raises(NotReached, match=server.url):
        get_json(credentials(server), "/x")


def test_a_server_is_trusted_for_the_kubeconfigs_authority_or_without_any(authority: Authority) -> None:
    with Server(authority.context()) as server:
        asked = credentials(server)._replace(authorization="Bearer secret")
        with pytest.raises(NotReached, match="certificate"):
            get_json(asked, "/x")
        assert server.requests == []
        assert get_json(asked._replace(authority=authority.certificate.read_bytes()), "/x") == {}
        assert get_json(asked._replace(insecure=True), "/x") == {}


def test_a_certificate_has_to_be_of_the_authority_and_for_the_name_expected(
    authority: Authority, tmp_path: Path
) -> None:
    named = make_authority(tmp_path, "DNS:api.example")
    with Server(named.context()) as server:
        expected = credentials(server)._replace(authority=named.certificate.read_bytes(), tls_server_name="api.example")
        other_authority = expected._replace(authority=authority.certificate.read_bytes())
        for other in (other_authority, expected._replace(tls_server_name="")):
            with pytest.raises(NotReached, match="certificate"):
                get_json(other, "/x")
        assert server.requests == []
        assert get_json(expected, "/x") == {}


def test_a_server_is_reached_through_a_proxy_that_asks_who_it_is(authority: Authority, server: Server) -> None:
    with Server(authority.context()) as secure, Proxy(secure) as tunnel, Proxy(server) as plain:
        asked = Credentials(
            "k", f"https://api.example:{secure.server_port}", authority=authority.certificate.read_bytes()
        )
        through = asked._replace(tls_server_name="127.0.0.1", proxy=tunnel.url.replace("//", "//me:p%40ss@"))
        assert get_json(through, "/x") == {}
        assert tunnel.tunnels == [(f"api.example:{secure.server_port}", "Basic bWU6cEBzcw==")]
        assert "proxy-authorization" not in secure.requests[0].headers
        for url, target in (
            ("http://api.example/k8s", "http://api.example/k8s/x"),
            ("http://[fd00::1]:80", "http://[fd00::1]:80/x"),
        ):
            assert get_json(Credentials("k", url, proxy=plain.url), "/x") == {}
            assert plain.requests[-1].path == target
        assert "over http:// only" in refused(7, lambda: get_json(asked._replace(proxy="https://x"), "/x"))


def test_unusable_credentials_are_reported_with_the_kubeconfig_and_without_the_token() -> None:
    usable = Credentials("kubeconfig /k", "https://127.0.0.1:1", authorization="Bearer secret")
    for bad in (
        usable._replace(authority=b"nonsense"),
        usable._replace(certificate=b"secret"),
    ):
        with pytest.raises(Failure, match="kubeconfig /k") as caught:
            get_json(bad, "/x")
        assert caught.value.code == 7
        assert "secret" not in str(caught.value)


@pytest.fixture
def cluster(server: Server, tmp_path: Path) -> Cluster:
    return Cluster(kubeconfig(tmp_path, server.url), pauses_s=(0.0, 0.0, 0.0))


def test_a_pods_annotation_is_read_from_the_api_server(server: Server, cluster: Cluster) -> None:
    server.answers.append(answer(200, b'{"metadata": {"annotations": {"networks": "[]"}}}'))
    assert cluster.annotation("shop", "web-0") == "[]"
    assert server.requests[0].path == "/api/v1/namespaces/shop/pods/web-0"


@pytest.mark.parametrize(
    "pod", [b"{}", b'{"metadata": null}', b'{"metadata": []}', b'{"metadata": {"annotations": null}}',
            b'{"metadata": {"annotations": {"networks": 7}}}', b'{"metadata": {"annotations": "networks"}}']
)  # fmt: skip
def test_a_pod_without_the_annotation_has_none(server: Server, cluster: Cluster, pod: bytes) -> None:
    server.answers.append(answer(200, pod))
    assert cluster.annotation("shop", "web-0") is None


def test_a_pod_or_a_definition_that_is_not_there(server: Server, cluster: Cluster) -> None:
    server.answers.extend([answer(404), answer(404)])
    reported = refused(11, lambda: cluster.annotation("shop", "web-0"))  # the runtime tries again
    assert reported == "pod shop/web-0 is not known to the API server"
    assert cluster.definition(GREEN) is None
    assert server.requests[1].path == "/apis/kaloom.com/v1/namespaces/shop/networks/green"


def test_a_server_in_trouble_is_asked_again(server: Server, cluster: Cluster) -> None:
    server.answers.extend([answer(500), DROP, answer(429), answer(200, b'{"spec": {}}')])
    assert cluster.definition(GREEN) == {"spec": {}}


def test_a_server_in_lasting_trouble_is_left_to_the_runtime(server: Server, cluster: Cluster) -> None:
    server.answers.extend([answer(500)] * 4)
    assert "answers 500" in refused(11, lambda: cluster.definition(GREEN))
    eventually(lambda: len(server.requests) == 4, 5)
