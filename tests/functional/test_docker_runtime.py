"""A real dockerd: from a pod to its newest running sandbox, and word of sandboxes that start and end."""

from __future__ import annotations

import contextlib
import queue
import re
import selectors
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lab.dockerd import PrivateDockerd
from lab.node import Node, Pod
from lab.waiting import eventually
from podagent.errors import RuntimeUnavailable, SandboxNotFound
from podagent.host.netns import identify
from podagent.model import PodKey, Sandbox
from podagent.runtimes.docker import DockerRuntime

pytestmark = pytest.mark.root


@pytest.fixture
def runtime(dockerd: PrivateDockerd) -> DockerRuntime:
    return DockerRuntime(dockerd.endpoint, identify)


def key(pod: Pod) -> PodKey:
    return PodKey(pod.namespace, pod.name, pod.uid)


# -- finding --------------------------------------------------------------------------------------------------------


def test_a_running_pod_has_its_sandbox_and_namespace(node: Node, runtime: DockerRuntime) -> None:
    pod = node.pod()
    found = runtime.find_sandbox(key(pod))
    assert found == Sandbox(pod.sandbox_id, identify(pod.netns), populated=True)
    assert runtime.find_sandbox(key(pod)) == found


def test_a_static_pod_is_found_by_the_uid_on_its_sandbox(node: Node, runtime: DockerRuntime) -> None:
    pod = node.pod(static=True)
    assert runtime.find_sandbox(key(pod)).id == pod.sandbox_id
    with pytest.raises(SandboxNotFound):
        runtime.find_sandbox(PodKey(pod.namespace, pod.name, pod.object_uid))


@pytest.mark.parametrize("change", ["namespace", "name", "uid"])
def test_a_pod_that_only_claims_to_be_another_one_does_not_get_its_sandbox(
    node: Node, runtime: DockerRuntime, change: str
) -> None:
    pod = node.pod()
    facts = {"namespace": pod.namespace, "name": pod.name, "uid": pod.uid} | {change: "impostor"}
    with pytest.raises(SandboxNotFound):
        runtime.find_sandbox(PodKey(**facts))


def test_two_pods_of_one_name_are_never_crossed(node: Node, runtime: DockerRuntime) -> None:
    one, two = node.pod("web", "one"), node.pod("web", "two")
    for pod in (one, two, one):
        found = runtime.find_sandbox(key(pod))
        assert found.netns is not None
        assert (found.id, found.netns.inode) == (pod.sandbox_id, pod.netns_inode())


@pytest.mark.parametrize("uid", ["", "unknown", "a=b", "../x", "*", '"', "\n", "é", "x" * 1000])
def test_a_pod_docker_does_not_know_has_no_sandbox(node: Node, runtime: DockerRuntime, uid: str) -> None:
    node.pod()
    with pytest.raises(SandboxNotFound):
        runtime.find_sandbox(PodKey("default", "web", uid))


def test_a_sandbox_without_containers_is_not_populated_yet(node: Node, runtime: DockerRuntime) -> None:
    pod = node.pod(start=False)
    pod.start_sandbox()
    assert not runtime.find_sandbox(key(pod)).populated
    pod.start_containers()
    assert runtime.find_sandbox(key(pod)).populated


def test_containers_of_the_sandbox_before_do_not_make_the_new_one_populated(node: Node, runtime: DockerRuntime) -> None:
    pod = node.pod()
    left = dict(pod.container_ids)
    pod.kill_sandbox()
    pod.attempt += 1
    old, pod.container_ids = pod.sandbox_id, {}
    pod.start_sandbox()
    found = runtime.find_sandbox(key(pod))
    assert (found.id, found.populated) == (pod.sandbox_id, False)
    for container in (*left.values(), old):
        node.runtime.remove(container)


def test_a_host_network_pod_has_no_namespace_of_its_own(node: Node, runtime: DockerRuntime) -> None:
    found = runtime.find_sandbox(key(node.pod(host_network=True)))
    assert found.netns is None
    assert found.host_network


def test_a_sandbox_that_has_exited_is_none(node: Node, runtime: DockerRuntime) -> None:
    pod = node.pod()
    assert runtime.find_sandbox(key(pod))
    pod.kill_sandbox()
    eventually(lambda: not node.runtime.inspect(pod.sandbox_id).running)
    with pytest.raises(SandboxNotFound):
        runtime.find_sandbox(key(pod))


def test_a_sandbox_that_was_only_created_is_none(node: Node, dockerd: PrivateDockerd, runtime: DockerRuntime) -> None:
    pod = node.pod()
    labels = dockerd.inspect(pod.sandbox_id).labels
    pod.kill_sandbox()
    made = dockerd.create_container(labels)
    with pytest.raises(SandboxNotFound):
        runtime.find_sandbox(key(pod))
    dockerd.remove(made)


def test_of_several_running_sandboxes_the_newest_counts(node: Node, runtime: DockerRuntime) -> None:
    pod = node.pod()
    old, containers = pod.sandbox_id, pod.container_ids
    assert runtime.find_sandbox(key(pod)).id == old
    started = node.runtime.inspect(old).started[:19]
    # Docker tells the time of creation in whole seconds; the kubelet never makes two sandboxes of a pod within one.
    eventually(lambda: time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) > started)
    pod.attempt += 1
    pod.container_ids = {}
    pod.start_sandbox()
    found = runtime.find_sandbox(key(pod))
    assert found.id == pod.sandbox_id != old
    assert found.netns is not None
    assert found.netns.inode == pod.netns_inode()
    for container in (*containers.values(), old):
        node.runtime.remove(container)


def test_a_sandbox_that_was_started_again_has_its_new_namespace(
    node: Node, dockerd: PrivateDockerd, runtime: DockerRuntime
) -> None:
    pod = node.pod()
    before = runtime.find_sandbox(key(pod))
    pod.kill_sandbox()
    eventually(lambda: not dockerd.inspect(pod.sandbox_id).running)
    dockerd.start_container(pod.sandbox_id)
    after = runtime.find_sandbox(key(pod))
    assert after.id == before.id
    assert after.netns != before.netns


def test_many_workers_ask_at_once(node: Node, runtime: DockerRuntime) -> None:
    pods = node.many(4)
    wrong: list[object] = []

    def ask(pod: Pod) -> None:
        for _ in range(10):
            found = runtime.find_sandbox(key(pod))
            if found.id != pod.sandbox_id:
                wrong.append(found)

    threads = [threading.Thread(target=ask, args=(pod,)) for pod in pods * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


# -- between us and dockerd -----------------------------------------------------------------------------------------


@dataclass
class Proxy:
    """Passes a unix socket through and notes the request lines; may answer as another Docker would."""

    path: Path
    target: Path
    requests: list[str] = field(default_factory=list)
    refuse: bytes = b""
    deaf: bool = False

    def __post_init__(self) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.path))
        self._listener.listen(64)
        self._open: list[socket.socket] = []
        self._server = threading.Thread(target=self._serve, daemon=True)
        self._server.start()

    @property
    def endpoint(self) -> str:
        return f"unix://{self.path}"

    def cut(self) -> None:
        """Ends every connection there is."""
        while self._open:
            with contextlib.suppress(OSError):
                self._open.pop().shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.path.unlink(missing_ok=True)
        # A thread left in accept() would later accept on whatever socket has got the number of this one.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._server.join()
        self._listener.close()
        self.cut()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(client)
            threading.Thread(target=self._pass, args=(client,), daemon=True).start()

    def _pass(self, client: socket.socket) -> None:
        server = socket.socket(socket.AF_UNIX)
        with client, server, contextlib.suppress(OSError):
            server.connect(str(self.target))
            self._open.append(server)
            selector = selectors.DefaultSelector()
            selector.register(client, selectors.EVENT_READ, server)
            selector.register(server, selectors.EVENT_READ, client)
            while True:
                for event, _ in selector.select():
                    data = event.fileobj.recv(65536)
                    if not data:
                        return
                    if event.fileobj is client:
                        self.requests += re.findall(r"^([A-Z]+ \S+) HTTP/1", data.decode("latin-1"), re.MULTILINE)
                        if self.deaf:
                            continue
                        if self.refuse and b"/version" not in data:
                            client.sendall(self.refuse)
                            continue
                    event.data.sendall(data)


@pytest.fixture
def proxy(dockerd: PrivateDockerd, workdir: Path) -> Iterator[Proxy]:
    made = Proxy(workdir / "docker.sock", dockerd.socket)
    yield made
    made.close()


@pytest.fixture
def follow() -> Iterator[Follow]:
    made: list[Follow] = []

    def start(runtime: DockerRuntime) -> Follow:
        made.append(Follow(runtime))
        return made[-1]

    yield start
    for each in made:
        each.stop.set()


class Follow:
    """A thread that follows Docker; keeps what it is told."""

    def __init__(self, runtime: DockerRuntime) -> None:
        self.told: queue.Queue[PodKey | str] = queue.Queue()
        self.stop = threading.Event()
        self.thread = threading.Thread(
            target=runtime.follow, args=(self.told.put, lambda: self.told.put("reconnected"), self.stop), daemon=True
        )
        self.thread.start()

    def next(self) -> PodKey | str:
        return self.told.get(timeout=20)

    def wait_for(self, wanted: PodKey | str) -> None:
        while self.next() != wanted:
            pass


def test_nothing_but_get_is_ever_asked_of_docker(node: Node, proxy: Proxy, follow: Follow) -> None:
    runtime = DockerRuntime(proxy.endpoint, identify)
    following = follow(runtime)
    following.wait_for("reconnected")
    pod = node.pod()
    following.wait_for(key(pod))
    runtime.find_sandbox(key(pod))
    with pytest.raises(SandboxNotFound):
        runtime.find_sandbox(PodKey("default", "web", "unknown"))
    pod.kill_sandbox()
    following.wait_for(key(pod))
    assert {request.split()[0] for request in proxy.requests} == {"GET"}
    urls = [request.split()[1].replace(pod.sandbox_id, "ID") for request in proxy.requests]
    assert {re.sub(r"^/v[\d.]+/|\?.*", "/", url).rstrip("/") for url in urls} == {
        "/version",
        "/events",
        "/containers/json",
        "/containers/ID/json",
    }


def test_a_known_sandbox_costs_one_request(node: Node, proxy: Proxy) -> None:
    runtime, pod = DockerRuntime(proxy.endpoint, identify), node.pod()
    runtime.find_sandbox(key(pod))
    before = len(proxy.requests)
    runtime.find_sandbox(key(pod))
    assert len(proxy.requests) == before + 1


def test_a_docker_that_is_away_is_told_by_its_address_and_found_again(
    node: Node, dockerd: PrivateDockerd, workdir: Path
) -> None:
    path = workdir / "docker.sock"
    runtime, pod = DockerRuntime(f"unix://{path}", identify), node.pod()
    with pytest.raises(RuntimeUnavailable, match=str(path)):
        runtime.find_sandbox(key(pod))
    proxy = Proxy(path, dockerd.socket)
    assert runtime.find_sandbox(key(pod)).id == pod.sandbox_id
    proxy.close()
    with pytest.raises(RuntimeUnavailable, match=str(path)):
        runtime.find_sandbox(key(pod))
    proxy = Proxy(path, dockerd.socket)
    assert runtime.find_sandbox(key(pod)).id == pod.sandbox_id
    proxy.close()


def test_a_docker_that_does_not_answer_is_given_up_in_time_by_all_workers_alike(proxy: Proxy) -> None:
    proxy.deaf = True
    runtime = DockerRuntime(proxy.endpoint, identify, timeout_s=0.5)
    raised: list[Exception] = []

    def ask() -> None:
        try:
            runtime.find_sandbox(PodKey("default", "web", "uid"))
        except RuntimeUnavailable as error:
            raised.append(error)

    started = time.monotonic()
    threads = [threading.Thread(target=ask) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(raised) == 12
    assert time.monotonic() - started < 4, "they waited in a row"


def test_an_upgraded_docker_that_refuses_the_agreed_version_is_agreed_with_anew(node: Node, proxy: Proxy) -> None:
    runtime, pod = DockerRuntime(proxy.endpoint, identify), node.pod()
    runtime.find_sandbox(key(pod))
    body = b'{"message":"client version 1.24 is too old. Minimum supported API version is 1.44"}'
    header = b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    proxy.refuse = header % len(body) + body
    with pytest.raises(RuntimeUnavailable, match="too old"):
        runtime.find_sandbox(key(pod))
    proxy.refuse = b""
    asked = len(proxy.requests)
    assert runtime.find_sandbox(key(pod)).id == pod.sandbox_id
    assert any(request.endswith("/version") for request in proxy.requests[asked:])


@pytest.mark.parametrize(
    "answer",
    [
        b"rubbish\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5\r\n\r\n[1,2]",
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 4\r\n\r\n[{}]",
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 4\r\n\r\nnull",
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 3\r\n\r\n{no",
        b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_an_answer_that_makes_no_sense_is_no_answer(proxy: Proxy, answer: bytes) -> None:
    runtime = DockerRuntime(proxy.endpoint, identify)
    proxy.refuse = answer
    with pytest.raises(RuntimeUnavailable):
        runtime.find_sandbox(PodKey("default", "web", "uid"))


# -- following ------------------------------------------------------------------------------------------------------


def test_sandboxes_that_start_and_end_are_told_and_nothing_else(
    node: Node, runtime: DockerRuntime, follow: Follow
) -> None:
    following = follow(runtime)
    assert following.next() == "reconnected"
    first, second = node.pod(), node.pod()
    first.restart_container()
    first.kill_sandbox()
    assert [following.next() for _ in range(3)] == [key(first), key(second), key(first)]
    assert following.told.empty()


def test_a_sandbox_without_the_kubelets_labels_ends_nothing(
    node: Node, dockerd: PrivateDockerd, runtime: DockerRuntime, follow: Follow
) -> None:
    following = follow(runtime)
    following.wait_for("reconnected")
    odd = dockerd.create_container({"io.kubernetes.docker.type": "podsandbox"})
    dockerd.start_container(odd)
    assert following.next() == PodKey("", "", "")
    pod = node.pod()
    assert following.next() == key(pod)
    dockerd.remove(odd)


def test_a_broken_connection_is_made_again_and_told_since_something_may_have_been_missed(
    node: Node, proxy: Proxy, follow: Follow
) -> None:
    following = follow(DockerRuntime(proxy.endpoint, identify))
    following.wait_for("reconnected")
    for _ in range(2):
        proxy.cut()
        following.wait_for("reconnected")
    pod = node.pod()
    following.wait_for(key(pod))


def test_reconnecting_leaves_no_descriptor_open(proxy: Proxy, follow: Follow) -> None:
    following = follow(DockerRuntime(proxy.endpoint, identify))
    following.wait_for("reconnected")

    def ours() -> int:
        """Sockets of this process, both ends of those to the proxy among them."""
        return sum(fd.is_socket() for fd in Path("/proc/self/fd").iterdir())

    before = ours()
    for _ in range(3):
        proxy.cut()
        following.wait_for("reconnected")
    eventually(lambda: ours() <= before, 5, f"at most {before} sockets")


def test_a_restart_of_dockerd_is_survived_without_a_new_object(node: Node, follow: Follow) -> None:
    runtime = DockerRuntime(node.runtime.endpoint, identify)
    following = follow(runtime)
    following.wait_for("reconnected")
    pod = node.pod()
    following.wait_for(key(pod))
    assert runtime.find_sandbox(key(pod)).id == pod.sandbox_id
    node.runtime.restart(keep_containers=True)
    following.wait_for("reconnected")
    found = eventually(lambda: runtime.find_sandbox(key(pod)))
    assert found.netns is not None
    assert (found.id, found.netns.inode) == (pod.sandbox_id, pod.netns_inode())
    another = node.pod()
    following.wait_for(key(another))
