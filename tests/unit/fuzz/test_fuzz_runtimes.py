"""What a runtime answers over CRI is a checked value, or one error that names the runtime, whatever it is."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest
from hypothesis import strategies as st

from podagent.errors import RuntimeUnavailable, SandboxNotFound
from podagent.model import NetnsRef, PodKey
from podagent.runtimes import crimessages, protobuf
from podagent.runtimes.cri import CriRuntime
from podagent.runtimes.discovery import Named, candidates, flag, yaml_value
from podagent.runtimes.grpc import call
from podagent.validate import is_container_id
from unit.fuzz.hostile import assert_plain, bounded, fuzzed, hostile, mutated
from unit.runtimes.criserver import ANSWERS, Answer, CriServer, message, recorded, status

POD = PodKey("default", "plain", "5acb6188-f877-4f56-9b34-9b11238d8704")
LISTED, STATUS = (recorded("containerd-2.1.9", f"{name}.pb") for name in ("list", "plain"))
INFO = json.loads((ANSWERS / "containerd-1.7.24" / "info-pod.json").read_text())
SANDBOX = crimessages.sandbox_status(STATUS).id
CRICTL = "runtime-endpoint: unix:///run/containerd/containerd.sock\nimage-endpoint: unix:///x\ntimeout: 2\n"


@fuzzed(hostile(LISTED, STATUS, recorded("crio-1.36.3", "hostnet.pb")))
def test_a_message_is_read_or_refused(content: bytes) -> None:
    for read in (crimessages.listed_sandboxes, crimessages.sandbox_status, crimessages.runtime_name):
        with suppress(ValueError), bounded():
            read(content)


class _Replay:
    """A server that gives every call these bytes, whatever it is asked."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.content = b""
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.path)
        self._listener.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                with sock, suppress(OSError):
                    sock.recv(65536)
                    sock.sendall(self.content)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture(scope="module")
def replay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Replay]:
    replay = _Replay(tmp_path_factory.mktemp("replay") / "cri.sock")
    yield replay
    replay.close()


def frames(answer: Answer, path: Path) -> bytes:
    """What a proper server sends for this answer."""
    with CriServer(path) as server:
        server.answers["x"] = answer
        with suppress(RuntimeUnavailable):
            call(str(path), "/x", b"", time.monotonic() + 10)
        return bytes(server.sent)


@pytest.fixture(scope="module")
def proper(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    folder = tmp_path_factory.mktemp("proper")
    answers = [message(b"answer"), status(5, "not found"), message(STATUS)]
    return [frames(answer, folder / f"{number}.sock") for number, answer in enumerate(answers)]


@fuzzed(st.randoms(use_true_random=True), st.data())
def test_an_answer_over_http2_is_a_message_or_one_error(
    replay: _Replay, proper: list[bytes], random: Random, data: st.DataObject
) -> None:
    replay.content = data.draw(mutated(random.choice(proper)))
    try:
        with bounded():
            call(replay.path, "/x", b"", time.monotonic() + 5)
    except RuntimeUnavailable as error:
        assert_plain(error)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CriServer]:
    with CriServer(tmp_path_factory.mktemp("fuzz") / "cri.sock") as server:
        yield server


@fuzzed(hostile(LISTED), hostile(STATUS), st.booleans())
def test_a_lookup_finds_a_checked_sandbox_or_fails_in_plain_words(
    server: CriServer, listed: bytes, told: bytes, well_listed: bool
) -> None:
    server.answers = {"ListPodSandbox": message(LISTED if well_listed else listed), "PodSandboxStatus": message(told)}
    runtime = CriRuntime(server.endpoint, lambda path: NetnsRef(path, 1), ())
    try:
        with bounded():
            found = runtime.find_sandbox(POD)
    except (RuntimeUnavailable, SandboxNotFound) as error:
        assert_plain(error)
        return
    assert is_container_id(found.id)
    assert found.netns is None or (found.netns.path.startswith("/") and found.netns.path.isprintable())


@fuzzed(hostile(INFO, {"runtimeSpec": INFO["runtimeSpec"]}))
def test_what_a_runtime_tells_beyond_cri_names_a_path_or_is_refused(server: CriServer, info: bytes) -> None:
    metadata = protobuf.text(1, POD.name) + protobuf.text(2, POD.uid) + protobuf.text(3, POD.namespace)
    entry = protobuf.text(1, "info") + protobuf.message(2, info)
    answer = protobuf.message(1, protobuf.text(1, SANDBOX) + protobuf.message(2, metadata)) + protobuf.message(2, entry)
    server.answers = {"ListPodSandbox": message(LISTED), "PodSandboxStatus": message(answer)}
    runtime = CriRuntime(server.endpoint, lambda path: NetnsRef(path, 1), ())
    try:
        found = runtime.find_sandbox(POD)
    except (RuntimeUnavailable, SandboxNotFound) as error:
        assert_plain(error)
    else:
        assert found.netns is None or found.netns.path.startswith("/")


@fuzzed(hostile(CRICTL.encode()), st.lists(st.text(max_size=40), max_size=6))
def test_a_hint_about_the_socket_is_an_absolute_path_or_ignored(text: bytes, arguments: list[str]) -> None:
    with bounded():
        named = Named("", flag(arguments, "--x"), "", yaml_value(text.decode(errors="replace"), "runtime-endpoint"))
        for candidate in candidates("auto", named, "/run/docker.sock"):
            assert candidate.path.startswith("/")
            assert candidate.path.isprintable()
