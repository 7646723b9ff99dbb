"""A real dockerd: from a pod to its newest running sandbox, and word of sandboxes that start and end."""

from __future__ import annotations

import queue
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import docker
import pytest

from lab import processes
from lab.dockerd import PrivateDockerd
from lab.node import Node, Pod
from lab.podruntime import PodMetadata
from lab.waiting import eventually
from podagent.act.ports import Hints
from podagent.errors import RuntimeUnavailable, SandboxNotFound
from podagent.host.netns import identify
from podagent.model import PodKey, Sandbox
from podagent.runtimes.criservice import CriOff, CriService
from podagent.runtimes.docker import DockerRuntime

pytestmark = pytest.mark.root


@pytest.fixture
def pod_runtime(dockerd: PrivateDockerd) -> PrivateDockerd:
    return dockerd


@pytest.fixture
def runtime(dockerd: PrivateDockerd) -> DockerRuntime:
    return DockerRuntime(dockerd.endpoint, identify)


def key(pod: Pod) -> PodKey:
    return PodKey(pod.namespace, pod.name, pod.uid)


class Follow:
    """A thread that follows Docker; keeps what it reports."""

    def __init__(self, runtime: DockerRuntime) -> None:
        self.heard: queue.Queue[PodKey | str] = queue.Queue()
        self.stop = threading.Event()
        arguments = Hints(self.heard.put, lambda: self.heard.put("reconnected"), list), self.stop
        threading.Thread(target=runtime.follow, args=arguments, daemon=True).start()
        assert self.next() == "reconnected"

    def next(self) -> PodKey | str:
        return self.heard.get(timeout=20)

    def wait_for(self, wanted: PodKey | str) -> None:
        while self.next() != wanted:
            pass


Following = Callable[[DockerRuntime], Follow]


@pytest.fixture
def follow() -> Iterator[Following]:
    made: list[Follow] = []

    def start(runtime: DockerRuntime) -> Follow:
        made.append(Follow(runtime))
        return made[-1]

    yield start
    for each in made:
        each.stop.set()


def assert_none(runtime: DockerRuntime, pod: PodKey) -> None:
    with pytest.raises(SandboxNotFound):
        runtime.find_sandbox(pod)


# -- finding --------------------------------------------------------------------------------------------------------


def test_a_sandbox_and_its_namespace_are_found_and_then_its_containers(node: Node, runtime: DockerRuntime) -> None:
    pod = node.pod(start=False)
    pod.start_sandbox()
    assert runtime.find_sandbox(key(pod)) == Sandbox(pod.sandbox_id, identify(pod.netns), populated=False)
    pod.start_containers()
    assert runtime.find_sandbox(key(pod)) == Sandbox(pod.sandbox_id, identify(pod.netns), populated=True)


def test_a_pod_gets_the_sandbox_of_no_other_one(node: Node, runtime: DockerRuntime) -> None:
    one, two = node.pod("web", "one"), node.pod("web", "two")
    for pod in (one, two, one):
        assert runtime.find_sandbox(key(pod)) == Sandbox(pod.sandbox_id, identify(pod.netns), populated=True)
    claims = [{"namespace": "impostor"}, {"namespace": "two"}, {"name": "impostor"}, {"uid": two.uid}]
    strange = [{"uid": uid} for uid in ("", "unknown", "a=b", "../x", "*", '"', "\n", "é", "x" * 1000)]
    for claim in (*claims, *strange):
        assert_none(runtime, PodKey(**({"namespace": "one", "name": "web", "uid": one.uid} | claim)))


def test_a_sandbox_counts_while_it_runs(node: Node, dockerd: PrivateDockerd, runtime: DockerRuntime) -> None:
    pod = node.pod()
    before, labels = runtime.find_sandbox(key(pod)), dockerd.inspect(pod.sandbox_id).labels
    pod.kill_sandbox()
    eventually(lambda: not dockerd.inspect(pod.sandbox_id).running)
    assert_none(runtime, key(pod))
    only_created = dockerd.create_container(labels)
    assert_none(runtime, key(pod))
    dockerd.remove(only_created)

    dockerd.start_container(pod.sandbox_id)
    after = runtime.find_sandbox(key(pod))
    assert after.id == before.id
    assert after.netns == identify(f"/proc/{dockerd.inspect(pod.sandbox_id).pid}/ns/net") != before.netns


def test_the_newest_of_several_running_sandboxes_counts_with_containers_of_its_own(
    node: Node, runtime: DockerRuntime
) -> None:
    pod = node.pod()
    old = [*pod.container_ids.values(), pod.sandbox_id]
    assert runtime.find_sandbox(key(pod)).id == pod.sandbox_id
    started = node.runtime.inspect(pod.sandbox_id).started[:19]
    # Docker gives the time of creation in whole seconds; the kubelet never makes two sandboxes of a pod within one.
    eventually(lambda: time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) > started)
    pod.attempt += 1
    pod.container_ids = {}
    pod.start_sandbox()
    assert runtime.find_sandbox(key(pod)) == Sandbox(pod.sandbox_id, identify(pod.netns), populated=False)
    for container in old:
        node.runtime.remove(container)


def test_pods_of_cri_dockerd_are_found_with_all_its_labels_and_a_name_that_was_taken(
    dockerd: PrivateDockerd, runtime: DockerRuntime, follow: Following
) -> None:
    """It keeps the pod's labels and annotations in labels, and appends to a name that is still in use."""
    pod = PodMetadata("plain", "default", "04badd94-8fad-4f68-9b7b-d3f2c47d0555", 1)
    of_pod = {
        **pod.labels, "app": "plain", "annotation.kubernetes.io/config.seen": "2026-11-27T05:49:30.684769023Z",
        "annotation.kubernetes.io/config.source": "api", "annotation.networks": '[{"name": "data"}]',
    }  # fmt: skip
    shim = {"io.kubernetes.docker.type": "podsandbox", "io.kubernetes.container.name": "POD"}
    following = follow(runtime)
    sandbox = dockerd.create_container(of_pod | shim, name=f"{pod.container_name('POD')}_1a2b3c4d")
    dockerd.start_container(sandbox)
    pod_key = PodKey(pod.namespace, pod.name, pod.uid)
    assert following.next() == pod_key
    found = Sandbox(sandbox, identify(f"/proc/{dockerd.inspect(sandbox).pid}/ns/net"), populated=False)
    assert runtime.find_sandbox(pod_key) == found
    inner = {
        **of_pod, "annotation.io.kubernetes.container.hash": "1f", "io.kubernetes.docker.type": "container",
        "io.kubernetes.container.logpath": "/var/log/pods/default_plain_x/c/1.log", "io.kubernetes.sandbox.id": sandbox,
        "io.kubernetes.container.name": "c",
    }  # fmt: skip
    container = dockerd.create_container(inner, f"container:{sandbox}", pod.container_name("c"))
    dockerd.start_container(container)
    assert runtime.find_sandbox(pod_key) == found._replace(populated=True)
    for each in (container, sandbox):
        dockerd.remove(each)
    assert following.next() == pod_key
    assert_none(runtime, pod_key)


# -- between us and dockerd -----------------------------------------------------------------------------------------


def test_nothing_but_get_is_asked_and_little_of_it(node: Node, dockerd: PrivateDockerd, follow: Following) -> None:
    asked: list[str] = []

    def connect(**options: Any) -> Any:
        client = docker.APIClient(**options)
        client.hooks["response"].append(lambda answer, **_: asked.append(f"{answer.request.method} {answer.url}"))
        return client

    runtime, pod = DockerRuntime(dockerd.endpoint, identify, connect=connect), node.pod()
    following = follow(runtime)
    runtime.find_sandbox(key(pod))
    before = len(asked)
    runtime.find_sandbox(key(pod))
    assert len(asked) == before + 1, "what is known is not asked for again"
    assert_none(runtime, PodKey("default", "web", "unknown"))
    pod.kill_sandbox()
    following.wait_for(key(pod))
    requests = {re.sub(r"http.*/v[\d.]+|\?.*", "", each).replace(pod.sandbox_id, "ID") for each in asked}
    assert requests == {"GET /events", "GET /containers/json", "GET /containers/ID/json"}


@pytest.mark.promise(
    "Container runtime: Docker accepts connections and does not answer",
    "all workers give up in time, none waits for another",
)
def test_a_docker_that_does_not_answer_is_given_up_in_time_by_all_workers_alike(workdir: Path) -> None:
    path = workdir / "docker.sock"
    unanswered = DockerRuntime(f"unix://{path}", identify, timeout_s=0.5)

    def ask(_: int) -> None:
        with pytest.raises(RuntimeUnavailable):
            unanswered.find_sandbox(PodKey("default", "web", "uid"))

    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.bind(str(path))
        deaf.listen(64)
        started = time.monotonic()
        with ThreadPoolExecutor(12) as pool:
            list(pool.map(ask, range(12)))
        assert time.monotonic() - started < 4, "they waited in a row"


def test_the_containerd_that_docker_starts_is_no_runtime_of_pods(dockerd: PrivateDockerd) -> None:
    socket = dockerd.state_dir / "exec" / "containerd" / "containerd.sock"
    with pytest.raises(CriOff, match="is its CRI plugin disabled"):
        CriService(f"unix://{socket}").runtime_name(time.monotonic() + 10)


# -- following ------------------------------------------------------------------------------------------------------


def test_sandboxes_that_start_and_end_are_reported_and_nothing_else(
    node: Node, dockerd: PrivateDockerd, runtime: DockerRuntime, follow: Following
) -> None:
    following = follow(runtime)
    first, second = node.pod(), node.pod()
    first.restart_container()
    first.kill_sandbox()
    assert [following.next() for _ in range(3)] == [key(first), key(second), key(first)]
    assert following.heard.empty()

    # One without the kubelet's labels is nobody's, and ends nothing.
    odd = dockerd.create_container({"io.kubernetes.docker.type": "podsandbox"})
    dockerd.start_container(odd)
    second.kill_sandbox()
    assert following.next() == key(second)
    dockerd.remove(odd)


def test_a_restart_of_dockerd_is_survived_without_a_new_object_and_without_open_sockets(
    node: Node, runtime: DockerRuntime, follow: Following
) -> None:
    following, pod = follow(runtime), node.pod()
    following.wait_for(key(pod))
    found = runtime.find_sandbox(key(pod))
    before = own_sockets()
    node.runtime.restart(keep_containers=True)
    following.wait_for("reconnected")
    assert eventually(lambda: runtime.find_sandbox(key(pod))) == found
    another = node.pod()
    following.wait_for(key(another))
    eventually(lambda: own_sockets() <= before, 5, f"at most {before} sockets")


def own_sockets() -> int:
    return sum(target.startswith("socket:") for target in processes.open_files())
