"""An agent from its start to its end, and what it is made of."""

from __future__ import annotations

import os
import queue
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab.waiting import eventually
from podagent.config import load
from podagent.daemon.agent import Agent
from podagent.daemon.loop import LOOP_DIED
from podagent.daemon.wiring import make_agent
from podagent.errors import StoreError


@pytest.fixture(autouse=True)
def _signal_handlers_stay_pytests() -> Iterator[None]:
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


class Bench:
    """An agent whose parts only say what they do."""

    def __init__(self, at_work: int = 0, **bodies: Callable[[threading.Event], None]) -> None:
        self.said: list[str] = []
        self.received: queue.SimpleQueue[int] = queue.SimpleQueue()
        self.number = 0
        self.at_work = at_work
        self.stop = threading.Event()
        self.agent = Agent(
            "about it",
            self,
            self,
            self,
            bodies,
            [self.wake],
            self.received,
            self.stop,
            1.0,  # type: ignore[arg-type]
        )

    def run(self) -> int:
        self.said.append("loop")
        self.number = self.received.get(timeout=10)
        return self.number

    def ready(self) -> None:
        self.said.append("ready")

    def stopping(self) -> None:
        self.said.append("stopping")

    def start(self) -> None:
        self.said.append("workers start")

    def wake(self) -> None:
        assert self.stop.is_set()
        self.said.append("wake")

    def join(self, timeout: float) -> int:
        self.said.append(f"join within {timeout:.0f} s")
        return self.at_work


def test_it_is_ready_once_its_threads_run_and_ends_in_order() -> None:
    bench = Bench()
    bench.received.put(signal.SIGTERM)
    assert bench.agent.run() == 0
    assert bench.said == ["workers start", "ready", "loop", "stopping", "wake", "join within 6 s"]


def test_a_signal_reaches_the_loop() -> None:
    bench = Bench(kill=lambda stop: os.kill(os.getpid(), signal.SIGTERM))
    assert bench.agent.run() == 0
    assert bench.number == signal.SIGTERM


def test_it_does_not_go_on_without_a_thread_that_died_of_a_bug(caplog: pytest.LogCaptureFixture) -> None:
    def bug(stop: threading.Event) -> None:
        raise ZeroDivisionError("bug")

    bench = Bench(watch=bug)
    assert bench.agent.run() == 1
    assert bench.number == LOOP_DIED
    assert "internal error in the watch loop" in caplog.text


def test_plugins_that_are_still_at_work_at_the_end_are_told(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(at_work=2)
    bench.received.put(signal.SIGTERM)
    assert bench.agent.run() == 0
    assert "2 plugins are still running" in caplog.text


# -- all of it, on a machine that has neither a kubeconfig nor a container runtime ------------------------------------


class Manager:
    """The service manager's end of the socket."""

    def __init__(self, address: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(address))
        self._socket.settimeout(20)
        self.heard: list[str] = []

    def wait_for(self, start: str) -> str:
        while not any(message.startswith(start) for message in self.heard):
            self.heard.append(self._socket.recv(65536).decode())
        return next(message for message in reversed(self.heard) if message.startswith(start))

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    manager = Manager(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    yield manager
    manager.close()


@pytest.fixture
def flags(tmp_path: Path) -> dict[str, str | None]:
    return {
        "node": "node-1",
        "kubeconfig": str(tmp_path / "kubeconfig"),
        "docker_endpoint": f"unix://{tmp_path}/docker.sock",
        "state_dir": str(tmp_path / "state"),
        "cni_conf_path": str(tmp_path),
        "inherit_dir": str(tmp_path / "configstore"),
    }


def test_a_node_that_has_nothing_yet_gets_an_agent_that_is_ready_and_waits(
    manager: Manager, flags: dict[str, str | None], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "podagent")
    agent = make_agent(load(flags, {}))

    def operate() -> None:
        manager.wait_for("READY=1")
        assert "kubeconfig" in manager.wait_for("STATUS=Waiting for credentials")
        os.kill(os.getpid(), signal.SIGHUP)
        manager.wait_for("RELOADING=1")
        eventually(lambda: "the old credentials stay in use" in caplog.text)
        os.kill(os.getpid(), signal.SIGTERM)

    operator = threading.Thread(target=operate)
    operator.start()
    assert agent.run() == 0
    operator.join()
    assert manager.wait_for("STOPPING=1")
    assert "starts on node node-1, attach-via auto" in caplog.text
    assert "there is no such socket" in caplog.text


def test_two_agents_never_share_a_state_directory(flags: dict[str, str | None]) -> None:
    first = make_agent(load(flags, {}))
    with pytest.raises(StoreError, match="in use by another podagent"):
        make_agent(load(flags, {}))
    assert first
