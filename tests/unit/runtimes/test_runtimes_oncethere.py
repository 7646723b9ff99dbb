from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import podagent
from lab.waiting import eventually
from podagent.errors import RuntimeUnavailable
from podagent.model import NetnsRef, PodKey, Sandbox
from podagent.runtimes import make_runtime
from podagent.runtimes.oncethere import Identify, OnceThere

POD = PodKey("shop", "web-0", "uid-1")
SANDBOX = Sandbox("s1", None)


def identify(path: str) -> NetnsRef:
    return NetnsRef(path, 1)


class Client:
    """A runtime that is loaded once its socket is there."""

    def __init__(self) -> None:
        self.loaded: list[tuple[str, Identify]] = []

    def load(self, endpoint: str, identify: Identify) -> Client:
        self.loaded.append((endpoint, identify))
        return self

    def find_sandbox(self, pod: PodKey) -> Sandbox:
        assert pod == POD
        return SANDBOX

    def follow(self, changed: Callable[[PodKey], None], reconnected: Callable[[], None], stop: threading.Event) -> None:
        reconnected()
        changed(POD)


@pytest.fixture
def client() -> Client:
    return Client()


@pytest.fixture
def socket(tmp_path: Path) -> Path:
    return tmp_path / "docker.sock"


@pytest.fixture
def runtime(client: Client, socket: Path) -> OnceThere:
    return OnceThere(f"unix://{socket}", client.load, identify, poll_s=0.01)


def test_the_client_is_loaded_once_when_the_socket_is_there_and_stays(
    client: Client, runtime: OnceThere, socket: Path
) -> None:
    with pytest.raises(RuntimeUnavailable, match="there is no such socket"):
        runtime.find_sandbox(POD)
    assert client.loaded == []
    socket.touch()
    assert runtime.find_sandbox(POD) is SANDBOX
    socket.unlink()
    assert runtime.find_sandbox(POD) is SANDBOX
    assert client.loaded == [(f"unix://{socket}", identify)]


def test_two_that_come_at_once_load_it_once(socket: Path) -> None:
    client, both_in = Client(), threading.Event()

    def load(endpoint: str, identify: Identify) -> Client:
        assert both_in.wait(10)
        return client.load(endpoint, identify)

    def are_both_in() -> bool:
        """Whether one loads the client and the other one is about to, or waits for that."""
        frames = sys._current_frames()
        return {frames[thread.ident or 0].f_code.co_name for thread in threads} == {"wait", "_client"}

    runtime = OnceThere(f"unix://{socket}", load, identify)
    socket.touch()
    threads = [threading.Thread(target=runtime.find_sandbox, args=(POD,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    eventually(are_both_in)
    both_in.set()
    for thread in threads:
        thread.join(10)
    assert len(client.loaded) == 1


def test_following_begins_when_the_socket_is_there(
    client: Client, runtime: OnceThere, socket: Path, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[PodKey | str] = []
    stop = threading.Event()
    thread = threading.Thread(target=runtime.follow, args=(heard.append, lambda: heard.append("reconnected"), stop))
    thread.start()
    eventually(lambda: caplog.records, what="the warning that there is no socket")
    assert client.loaded == []
    socket.touch()
    thread.join(10)
    assert heard == ["reconnected", POD]
    assert len(caplog.records) == 1


def test_the_end_of_following_does_not_wait_for_the_socket(client: Client, runtime: OnceThere) -> None:
    stop = threading.Event()
    stop.set()
    runtime.follow(lambda pod: None, lambda: None, stop)
    assert client.loaded == []


def test_docker_is_the_only_type_of_runtime(socket: Path) -> None:
    with pytest.raises(KeyError):
        make_runtime("rkt", f"unix://{socket}", identify)
    socket.touch()  # a file that nobody answers at
    with pytest.raises(RuntimeUnavailable, match="Docker at unix://"):
        make_runtime("docker", f"unix://{socket}", identify).find_sandbox(POD)


def test_a_node_without_docker_does_not_pay_for_its_libraries() -> None:
    script = f"""
import sys
sys.path.insert(0, {str(Path(podagent.__file__).parent.parent)!r})
from podagent.errors import RuntimeUnavailable
from podagent.model import PodKey
from podagent.runtimes import make_runtime
try:
    make_runtime("docker", "unix:///nowhere.sock", lambda path: None).find_sandbox(PodKey("a", "b", "c"))
except RuntimeUnavailable:
    print(sorted({{"docker", "requests", "urllib3"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
