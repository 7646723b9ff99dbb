from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

import podagent
from lab.waiting import eventually
from podagent.act.ports import Hints, Stop
from podagent.errors import RuntimeUnavailable, SandboxNotFound
from podagent.model import CniDirectories, PodKey, Sandbox
from podagent.runtimes.discovery import Found, Kind
from podagent.runtimes.oncethere import OnceThere

POD = PodKey("shop", "web-0", "uid-1")
CRI, DOCKER = (Found(kind, f"unix:///{kind.name}", "a reason") for kind in Kind)
NOTHING = RuntimeUnavailable("no container runtime answers: /a: there is no such socket")


class Client:
    """A runtime at its socket.

    Attributes:
        fails: what a lookup raises.
        looks: how often the end of following was asked for.
    """

    def __init__(self, found: Found, tell: Callable[[], CniDirectories]) -> None:
        self.found = found
        self.tell = tell
        self.fails: Exception | None = None
        self.looks = 0

    def find_sandbox(self, pod: PodKey) -> Sandbox:
        if self.fails:
            raise self.fails
        return Sandbox(self.found.kind.name, None)

    def cni_directories(self) -> CniDirectories:
        return self.tell()

    def follow(self, hints: Hints, stop: Stop) -> None:
        hints.reconnected()
        while not stop.wait(0.01):
            self.looks += 1


class Node:
    """A node with a runtime, or none, and a clock.

    Attributes:
        cni: where the runtime's CNI is; an error if it does not tell.
        asked: how often it was asked for that.
    """

    def __init__(self) -> None:
        self.has: Found | Exception = NOTHING
        self.cni: CniDirectories | Exception = CniDirectories()
        self.asked = 0
        self.now = 0.0
        self.searches = 0
        self.clients: list[Client] = []
        self.reconnected: list[None] = []
        self.stop = threading.Event()

    def search(self) -> Found:
        self.searches += 1
        if isinstance(self.has, Exception):
            raise self.has
        return self.has

    def tell(self) -> CniDirectories:
        self.asked += 1
        if isinstance(self.cni, Exception):
            raise self.cni
        return self.cni

    def has_searched(self, times: int) -> bool:
        return self.searches == times

    def load(self, found: Found) -> Client:
        self.clients.append(Client(found, self.tell))
        return self.clients[-1]

    def runtime(self) -> OnceThere:
        return OnceThere(self.search, self.load, poll_s=0.01, clock=lambda: self.now)

    def follow(self, runtime: OnceThere) -> Callable[[], None]:
        """Follows until what is returned is called."""
        hints = Hints(print, lambda: self.reconnected.append(None), list)
        thread = threading.Thread(target=runtime.follow, args=(hints, self.stop), daemon=True)
        thread.start()

        def end() -> None:
            self.stop.set()
            thread.join(10)
            assert not thread.is_alive()

        return end


@pytest.fixture
def node() -> Node:
    return Node()


def test_a_runtime_that_is_there_at_the_start_is_loaded_at_once(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    node.has = CRI
    assert node.runtime().find_sandbox(POD).id == "CRI"
    assert caplog.messages == ["container runtime: CRI at unix:///CRI (a reason)"]


def test_until_there_is_one_lookups_say_so_and_following_finds_it(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    runtime = node.runtime()
    with pytest.raises(RuntimeUnavailable, match="there is no such socket"):
        runtime.find_sandbox(POD)
    assert caplog.messages == [f"{NOTHING}; trying again"]
    end = node.follow(runtime)
    node.has = DOCKER
    eventually(lambda: node.reconnected)
    assert runtime.find_sandbox(POD).id == "DOCKER"
    assert runtime.about == "container runtime: Docker at unix:///DOCKER (a reason)"
    end()
    assert len(node.clients) == 1
    assert len(caplog.records) == 1


def test_a_runtime_that_is_away_is_kept_for_a_minute_then_the_node_may_have_another(node: Node) -> None:
    node.has = DOCKER
    runtime = node.runtime()
    end = node.follow(runtime)
    eventually(lambda: node.reconnected)
    node.has = CRI
    client = node.clients[0]

    def fails(error: Exception | None, at: float) -> None:
        client.fails, node.now = error, at
        with suppress(RuntimeUnavailable, SandboxNotFound):
            runtime.find_sandbox(POD)

    fails(RuntimeUnavailable("away"), 10)
    fails(RuntimeUnavailable("away"), 69)
    fails(SandboxNotFound("it answers"), 69)
    fails(RuntimeUnavailable("away"), 80)
    fails(None, 139)
    fails(RuntimeUnavailable("away"), 140)
    assert node.clients == [client]
    node.has = NOTHING
    fails(RuntimeUnavailable("away"), 201)
    eventually(lambda: runtime.about == str(NOTHING))
    assert node.clients == [client]
    node.has, node.now = CRI, 203
    eventually(lambda: runtime.find_sandbox(POD).id == "CRI" if len(node.clients) > 1 else None)
    end()


def test_a_runtime_that_comes_back_after_minutes_is_reported_once_as_its_absence_was(
    node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    node.has = CRI
    runtime = node.runtime()
    end = node.follow(runtime)
    node.clients[0].fails, node.has = RuntimeUnavailable("away"), NOTHING
    for _ in range(5):
        with pytest.raises(RuntimeUnavailable):
            runtime.find_sandbox(POD)
        searches, node.now = node.searches, node.now + 61
        eventually(lambda: node.searches > searches)  # noqa: B023 - called at once
    node.clients[0].fails, node.has, node.now = None, CRI, node.now + 1
    eventually(lambda: runtime.about == f"container runtime: {CRI}")
    end()
    assert caplog.messages == [f"container runtime: {CRI}", f"{NOTHING}; trying again", f"container runtime: {CRI}"]
    assert (len(node.clients), len(node.reconnected)) == (1, 1)


def test_a_guess_is_checked_ever_less_often_and_one_that_is_named_every_quarter_of_an_hour(node: Node) -> None:
    node.has = CRI._replace(guessed=True)
    end = node.follow(node.runtime())
    for at, searches in ((59, 1), (61, 2), (180, 2), (182, 3), (421, 3), (423, 4)):
        node.now = at
        eventually(partial(node.has_searched, searches))
    assert len(node.reconnected) == 1, "what is found again is followed without a break"
    node.has = DOCKER
    node.now = 10_000
    eventually(lambda: len(node.reconnected) == 2)
    searches, node.now = node.searches, 10_900
    looks = node.clients[1].looks
    eventually(lambda: node.clients[1].looks > looks + 3)
    assert node.searches == searches
    node.now = 11_000
    eventually(partial(node.has_searched, searches + 1))
    end()


def guess_with_a_pod(node: Node) -> tuple[OnceThere, Callable[[], None]]:
    """CRI, which nothing names; and what ends following it."""
    node.has = CRI._replace(guessed=True)
    runtime = node.runtime()
    end = node.follow(runtime)
    runtime.find_sandbox(POD)
    return runtime, end


def test_a_guess_with_sandboxes_of_pods_gives_way_to_a_runtime_that_is_named_but_to_no_other_guess(node: Node) -> None:
    runtime, end = guess_with_a_pod(node)
    node.has, node.now = DOCKER._replace(guessed=True), 61
    eventually(partial(node.has_searched, 2))
    assert runtime.find_sandbox(POD).id == "CRI"
    node.has, node.now = DOCKER, 182
    eventually(lambda: runtime.find_sandbox(POD).id == "DOCKER")
    node.has, node.now = CRI._replace(guessed=True), 1000
    node.clients[1].fails = RuntimeUnavailable("away")
    for node.now in (1000, 1061):
        with suppress(RuntimeUnavailable):
            runtime.find_sandbox(POD)
    eventually(lambda: len(node.clients) == 3)
    node.has, node.now = DOCKER._replace(guessed=True), 2000  # CRI has had none since the last look
    eventually(lambda: len(node.clients) == 4)
    end()


def test_a_guess_that_had_sandboxes_of_pods_gives_way_once_it_has_been_away_for_a_minute(node: Node) -> None:
    runtime, end = guess_with_a_pod(node)
    node.cni = node.clients[0].fails = RuntimeUnavailable("it hangs")
    node.has = DOCKER._replace(guessed=True)
    for node.now, searches in ((50, 1), (62, 2), (64, 3)):
        with pytest.raises(RuntimeUnavailable):
            runtime.find_sandbox(POD)
        eventually(partial(node.has_searched, searches))
    node.has, node.now = NOTHING, 112
    eventually(lambda: runtime.about == str(NOTHING))
    assert len(node.clients) == 1
    node.has, node.cni, node.now = DOCKER._replace(guessed=True), CniDirectories(), 114
    eventually(lambda: len(node.clients) == 2)
    end()


def test_a_runtime_counts_as_found_once_it_tells_where_its_cni_is_which_may_change(node: Node) -> None:
    hangs = RuntimeUnavailable("it hangs")
    node.has, node.cni = CRI, hangs
    runtime = node.runtime()
    assert (runtime.about, runtime.cni) == ("it hangs", None)
    end = node.follow(runtime)
    node.cni, node.now = CniDirectories(("/a",)), 2
    eventually(lambda: runtime.cni == CniDirectories(("/a",)))
    assert runtime.find_sandbox(POD).id == "CRI"
    node.cni, node.now = CniDirectories(("/b",)), 63
    eventually(lambda: runtime.cni == CniDirectories(("/b",)))
    node.cni, node.now = hangs, 124
    asked = node.asked
    eventually(lambda: node.asked > asked)
    end()
    assert runtime.cni == CniDirectories(("/b",)), "what it told last"


def test_the_end_of_following_does_not_wait_for_a_runtime(node: Node) -> None:
    node.follow(node.runtime())()
    assert node.clients == []


@pytest.mark.parametrize(("kind", "loaded"), [("docker", {"docker", "requests", "urllib3"}), ("cri", {"h2"})])
def test_a_node_pays_for_the_libraries_of_its_own_runtime(tmp_path: Path, kind: str, loaded: set[str]) -> None:
    script = f"""
import socket, sys
sys.path[:0] = {[str(Path(podagent.__file__).parent.parent), *filter(None, sys.path)]!r}
from podagent.errors import RuntimeUnavailable
from podagent.model import PodKey
from podagent.runtimes import make_runtime
endpoint = {str(tmp_path / "runtime.sock")!r}
there = sys.argv[1] == "there"
if there:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(endpoint)
    listener.listen()
named = {{"cri": "", "docker": "/docker.sock", {kind!r}: endpoint}}
make_runtime({kind!r}, f"unix://{{named['cri']}}", f"unix://{{named['docker']}}", print, ())
print(*sorted({{"docker", "requests", "urllib3", "h2"}} & set(sys.modules)))
"""
    for state, expected in (("absent", set()), ("there", loaded)):
        done = subprocess.run([sys.executable, "-c", script, state], capture_output=True, text=True, check=True)
        assert {*done.stdout.split()} == expected
