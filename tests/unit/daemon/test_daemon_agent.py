"""An agent from its start to its end, and what it is made of."""

from __future__ import annotations

import json
import os
import queue
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab.waiting import eventually
from podagent import signals
from podagent.config import load
from podagent.daemon.agent import Agent, Body
from podagent.daemon.loop import LOOP_DIED, WAKE, Loop
from podagent.daemon.notify import Notifier
from podagent.daemon.wiring import make_agent
from podagent.daemon.workers import Workers
from podagent.errors import OutOfThreads, UnknownSchema
from unit.daemon.manager import Manager
from unit.kubeconfig.table import config, plugin


@pytest.fixture(autouse=True)
def _signal_handlers_stay_pytests() -> Iterator[None]:
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


class FirstNumber(Loop):
    """Ends with the first number that is received."""

    def __init__(self, happened: list[str], received: queue.SimpleQueue[int]) -> None:
        self.happened = happened
        self.received = received
        self.number = 0

    def run(self) -> int:
        self.happened.append("loop")
        self.number = self.received.get(timeout=10)
        return self.number


class Idle(Workers):
    """No threads, of which some are still at work in the end."""

    def __init__(self, happened: list[str], at_work: int) -> None:
        self.happened = happened
        self.at_work = at_work

    def start(self) -> None:
        self.happened.append("workers start")

    def join(self, timeout: float, hurry: Callable[[], bool]) -> int:
        self.happened.append(f"join within {timeout:.0f} s" + (", in a hurry" if hurry() else ""))
        return self.at_work


class Notes(Notifier):
    def __init__(self, happened: list[str]) -> None:
        super().__init__({})
        self.happened = happened

    def ready(self) -> None:
        self.happened.append("ready")

    def stopping(self, within_s: float) -> None:
        self.happened.append(f"stopping within {within_s:.0f} s")


class Bench:
    """An agent of such parts, which keep one list of what happens; `bodies` are those of its threads."""

    def __init__(self, at_work: int = 0, **bodies: Body) -> None:
        self.happened: list[str] = []
        self.received: queue.SimpleQueue[int] = queue.SimpleQueue()
        self.loop = FirstNumber(self.happened, self.received)
        stop = threading.Event()

        def wake() -> None:
            assert stop.is_set()
            self.happened.append("wake")

        notes, workers = Notes(self.happened), Idle(self.happened, at_work)
        self.agent = Agent("about it", self.loop, notes, workers, bodies, [wake], self.received, stop, 20.0)


def test_it_is_ready_once_its_threads_run_and_ends_in_order_with_plugins_still_at_work_reported(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for at_work, reported in [(0, False), (2, True)]:
        bench = Bench(at_work)
        bench.received.put(signal.SIGTERM)
        assert bench.agent.run() == 0
        assert bench.happened == ["workers start", "ready", "loop", "stopping within 25 s", "wake", "join within 20 s"]
        assert ("plugins still running" in caplog.text) is reported
    assert "plugins still running: 2" in caplog.text


def test_a_second_signal_to_end_does_not_wait_for_plugins() -> None:
    for second, hurry in [(signal.SIGHUP, ""), (signal.SIGTERM, ", in a hurry"), (signal.SIGINT, ", in a hurry")]:
        bench = Bench()
        for number in (signal.SIGTERM, WAKE, second):
            bench.received.put(number)
        assert bench.agent.run() == 0
        assert bench.happened[-1] == f"join within 20 s{hurry}"


def test_a_signal_reaches_the_loop() -> None:
    bench = Bench(kill=lambda stop: os.kill(os.getpid(), signal.SIGTERM))
    assert bench.agent.run() == 0
    assert bench.loop.number == signal.SIGTERM


def test_signals_held_back_at_the_start_reach_the_loop_and_no_thread_hands_a_mask_to_its_plugins() -> None:
    masks: queue.SimpleQueue[set[int]] = queue.SimpleQueue()
    bench = Bench(watch=lambda stop: masks.put({*signal.pthread_sigmask(signal.SIG_BLOCK, ())}))
    signals.hold_back()
    signal.pthread_kill(threading.get_ident(), signal.SIGHUP)
    assert bench.agent.run() == 0
    assert (bench.loop.number, masks.get(timeout=10)) == (signal.SIGHUP, set())


def test_an_agent_whose_threads_cannot_all_be_started_ends_in_order_with_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "second":
            raise RuntimeError("can't start new thread")
        start(thread)

    ended = threading.Event()
    bench = Bench(first=lambda stop: ended.set() if stop.wait(10) else None, second=lambda stop: None)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(OutOfThreads, match="'second' cannot be started: can't start new thread; too many processes"):
        bench.agent.run()
    assert ended.wait(10)
    assert bench.happened == ["workers start", "stopping within 25 s", "wake", "join within 20 s"]


def test_it_does_not_go_on_without_a_thread_that_died_of_a_bug(caplog: pytest.LogCaptureFixture) -> None:
    def bug(stop: threading.Event) -> None:
        raise ZeroDivisionError("bug")

    bench = Bench(watch=bug)
    assert bench.agent.run() == 1
    assert bench.loop.number == LOOP_DIED
    assert "internal error in the watch loop" in caplog.text


def test_records_that_cannot_be_read_end_it_with_the_reason() -> None:
    def load(stop: threading.Event) -> None:
        raise UnknownSchema("x.json was written by a newer podagent")

    bench = Bench(watch=load)
    with pytest.raises(UnknownSchema, match=r"x\.json"):
        bench.agent.run()
    assert bench.happened[-3:] == ["stopping within 25 s", "wake", "join within 20 s"]


def test_a_node_that_has_nothing_yet_gets_an_agent_that_is_ready_and_waits(
    manager: Manager, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of it, on a machine that has neither a kubeconfig nor a container runtime."""
    monkeypatch.setenv("NOTIFY_SOCKET", manager.environ["NOTIFY_SOCKET"])
    caplog.set_level("INFO", "podagent")
    places = {name: str(tmp_path / name) for name in ("kubeconfig", "state_dir", "cni_conf_path", "inherit_dir")}
    endpoint = f"unix://{tmp_path}/docker.sock"
    agent = make_agent(load({"node": "node-1", "docker_endpoint": endpoint, **places}, {}), tmp_path / "locks")

    def operate() -> None:
        manager.wait_for("READY=1")
        assert "kubeconfig" in manager.wait_for("STATUS=Waiting for credentials")
        os.kill(os.getpid(), signal.SIGHUP)
        manager.wait_for("RELOADING=1")
        eventually(lambda: "the old credentials stay in use" in caplog.text)
        eventually(lambda: "there is no such socket" in caplog.text)
        os.kill(os.getpid(), signal.SIGTERM)

    operator = threading.Thread(target=operate)
    operator.start()
    assert agent.run() == 0
    operator.join()
    assert manager.wait_for("STOPPING=1")
    assert "starts on node node-1, attach-via auto" in caplog.text
    assert "there is no such socket" in caplog.text


@pytest.mark.promise(
    "Credentials: the exec plugin of the kubeconfig hangs",
    "it is killed in time, with what it said in the status; a better kubeconfig is taken up; SIGTERM does not wait",
)
def test_while_an_exec_plugin_hangs_the_agent_says_so_takes_signals_and_a_better_kubeconfig_and_ends_the_plugin(
    manager: Manager, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", manager.environ["NOTIFY_SOCKET"])
    places = {name: str(tmp_path / name) for name in ("kubeconfig", "state_dir", "cni_conf_path", "inherit_dir")}
    options = {"node": "node-1", "docker_endpoint": f"unix://{tmp_path}/docker.sock", "credential_timeout": "1s"}
    agent = make_agent(load({**options, **places}, {}), tmp_path / "locks")
    started, kubeconfig = tmp_path / "started", tmp_path / "kubeconfig"
    script = f"echo no login >&2; echo $$ > {started}; exec sleep 600"
    hanging = json.dumps(config(plugin(command="sh", args=["-c", script]), {"server": "http://127.0.0.1:1"}))
    kubeconfig.write_text(hanging)

    def operate() -> None:
        assert "no login" in manager.wait_for("STATUS=Waiting for credentials: kubeconfig ")
        kubeconfig.write_text(json.dumps(config(cluster={"server": "http://127.0.0.1:1"})))
        manager.wait_for("STATUS=Waiting for the list of pods from http://127.0.0.1:1")
        started.unlink()
        kubeconfig.write_text(hanging)
        os.kill(os.getpid(), signal.SIGHUP)
        eventually(lambda: started.exists() and started.read_text(), what="the plugin, by the reload or the watch")
        os.kill(os.getpid(), signal.SIGTERM)
        manager.wait_for("STOPPING=1")

    operator = threading.Thread(target=operate)
    operator.start()
    assert agent.run() == 0
    operator.join()
    assert not Path(f"/proc/{started.read_text().strip()}").exists()
