"""The watch against servers that are no API servers: proxies that close, captive portals, bugs."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from functional.kube.kube_watching import QUICK
from lab.waiting import eventually

Start = Callable[..., Any]


class OddServer(ThreadingHTTPServer):
    """Lists properly; a watch gets the line that is in `line` now ("" for none), and ends."""

    daemon_threads = True

    def __init__(self) -> None:
        self.line = b""
        self.version = "1"
        self.lists: list[float] = []
        self.watches: list[float] = []
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: OddServer

    def do_GET(self) -> None:
        if "watch=true" in self.path:
            self.server.watches.append(time.monotonic())
            self._answer(self.server.line)
        else:
            self.server.lists.append(time.monotonic())
            listing = {"kind": "PodList", "metadata": {"resourceVersion": self.server.version}, "items": None}
            self._answer(json.dumps(listing).encode())

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def odd() -> Iterator[OddServer]:
    with OddServer() as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def odd_kubeconfig(odd: OddServer, tmp_path: Path) -> Path:
    path = tmp_path / "odd"
    config = {
        "clusters": [{"name": "odd", "cluster": {"server": f"http://127.0.0.1:{odd.server_address[1]}"}}],
        "contexts": [{"name": "odd", "context": {"cluster": "odd", "user": ""}}],
        "current-context": "odd",
    }
    path.write_text(json.dumps(config))
    return path


def test_backs_off_from_a_server_that_ends_every_watch_at_once(
    odd: OddServer, odd_kubeconfig: Path, start_watching: Start
) -> None:
    start_watching(path=odd_kubeconfig)
    eventually(lambda: len(odd.watches) >= 8, timeout=20)
    assert odd.watches[7] - odd.watches[0] > 4 * QUICK.retry_cap_s / 2
    assert len(odd.lists) == 1


@pytest.mark.parametrize(
    "line",
    [b"<html>please log in</html>\n", b'{"type": "ADDED"}\n', b"[]\n", b'{"type":"ADDED","object":7}\n', b'{"type":'],
)
def test_steps_over_an_event_that_cannot_be_read_with_a_list_and_backs_off(
    odd: OddServer, odd_kubeconfig: Path, start_watching: Start, line: bytes
) -> None:
    odd.line = line
    start_watching(path=odd_kubeconfig)
    eventually(lambda: len(odd.watches) >= 8, timeout=20)
    assert odd.watches[7] - odd.watches[0] > 4 * QUICK.retry_cap_s / 2
    assert len(odd.lists) > 1


def test_an_error_event_other_than_expiry_is_a_failure_that_is_backed_off_from(
    odd: OddServer, odd_kubeconfig: Path, start_watching: Start, caplog: pytest.LogCaptureFixture
) -> None:
    status = {"kind": "Status", "code": 500, "message": "etcdserver:\nno leader"}
    odd.line = json.dumps({"type": "ERROR", "object": status}).encode() + b"\n"
    start_watching(path=odd_kubeconfig)
    eventually(lambda: "500 etcdserver: no leader" in caplog.text)
    eventually(lambda: len(odd.watches) >= 4)
    assert len(odd.lists) == 1


def test_an_unknown_event_type_and_a_nameless_object_are_passed_over(
    odd: OddServer, odd_kubeconfig: Path, start_watching: Start
) -> None:
    odd.line = b'{"type":"NEWS","object":{"metadata":{"name":"x"}}}\n{"type":"ADDED","object":{}}\n'
    watching = start_watching(path=odd_kubeconfig)
    eventually(lambda: len(odd.watches) >= 2)
    assert watching.pods.by_name == {}
    assert len(odd.lists) == 1


def test_a_list_without_a_version_is_an_error_and_nothing_is_taken_as_gone(
    odd: OddServer, odd_kubeconfig: Path, start_watching: Start, caplog: pytest.LogCaptureFixture
) -> None:
    odd.version = ""
    watching = start_watching(path=odd_kubeconfig)
    eventually(lambda: "the list has no resourceVersion" in caplog.text)
    assert watching.pods.lists == []
