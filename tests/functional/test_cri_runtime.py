"""A real containerd of each version: from a pod to its newest READY sandbox, and word of those that are waited for."""

from __future__ import annotations

import queue
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from lab import processes
from lab.containerd import VERSIONS, PrivateContainerd, is_there
from lab.cri import UserNamespace
from lab.links import links_of
from lab.networks import plugin_dir
from lab.node import Node, Pod
from lab.podruntime import PodMetadata
from lab.waiting import eventually
from podagent.act.ports import Hints
from podagent.errors import RuntimeUnavailable, SandboxNotFound
from podagent.host.netns import host_inodes, identify
from podagent.model import CniDirectories, PodKey, Sandbox
from podagent.runtimes.cri import CriRuntime
from podagent.runtimes.criservice import CriService

pytestmark = pytest.mark.root


@pytest.fixture(scope="module", params=VERSIONS)
def containerd(request: pytest.FixtureRequest) -> Iterator[PrivateContainerd]:
    if not is_there(request.param):
        pytest.skip(f"containerd {request.param} is not there: run scripts/setup.sh runtimes")
    with PrivateContainerd(request.param) as running:
        yield running


@pytest.fixture
def pod_runtime(containerd: PrivateContainerd) -> PrivateContainerd:
    return containerd


@pytest.fixture
def runtime(containerd: PrivateContainerd) -> CriRuntime:
    return adapter(containerd)


def adapter(containerd: PrivateContainerd, **options: Any) -> CriRuntime:
    return CriRuntime(containerd.endpoint, identify, host_inodes(), **options)


def key(pod: Pod | PodMetadata) -> PodKey:
    return PodKey(pod.namespace, pod.name, pod.uid)


def inode(pid: int) -> int:
    return identify(f"/proc/{pid}/ns/net").inode


def assert_none(runtime: CriRuntime, pod: PodKey) -> None:
    with pytest.raises(SandboxNotFound):
        runtime.find_sandbox(pod)


def test_it_is_a_runtime_of_pods_by_its_own_account(containerd: PrivateContainerd) -> None:
    assert CriService(containerd.endpoint).runtime_name(time.monotonic() + 10) == "containerd"


def test_it_tells_where_its_cni_is(containerd: PrivateContainerd, runtime: CriRuntime) -> None:
    assert runtime.cni_directories() == CniDirectories((f"{containerd.state_dir}/net.d",), (str(plugin_dir()),))


# -- finding --------------------------------------------------------------------------------------------------------


def test_a_sandbox_is_found_with_the_namespace_that_the_runtime_keeps(node: Node, runtime: CriRuntime) -> None:
    pod = node.pod(start=False)
    pod.start_sandbox()
    found = runtime.find_sandbox(key(pod))
    assert found.netns
    assert found == Sandbox(pod.sandbox_id, identify(found.netns.path), populated=True)
    assert found.netns.inode == inode(pod.pid)
    assert not found.netns.path.startswith("/proc/"), "a path through a PID leads elsewhere once that is used again"
    assert set(links_of(found.netns.path)) == {"lo", "eth0"}


def test_a_sandbox_is_found_by_whichever_version_of_the_api_was_known_last(node: Node, runtime: CriRuntime) -> None:
    pod = node.pod()
    for version in ("v1", "v1alpha2"):
        runtime._service._version = version
        assert runtime.find_sandbox(key(pod)).id == pod.sandbox_id


def test_a_pod_gets_the_sandbox_of_no_other_one(node: Node, runtime: CriRuntime) -> None:
    one, two = node.pod("web", "one"), node.pod("web", "two")
    for pod in (one, two, one):
        assert runtime.find_sandbox(key(pod)).id == pod.sandbox_id
    claims = [{"namespace": "impostor"}, {"namespace": "two"}, {"name": "impostor"}, {"uid": two.uid}]
    strange = [{"uid": uid} for uid in ("", "unknown", "a=b", "../x", "*", '"', "\n", "é", "x" * 1000)]
    for claim in (*claims, *strange):
        assert_none(runtime, PodKey(**({"namespace": "one", "name": "web", "uid": one.uid} | claim)))


def test_a_sandbox_counts_from_its_start_until_it_is_killed_or_stopped(
    node: Node, containerd: PrivateContainerd, runtime: CriRuntime
) -> None:
    killed, stopped = node.pod(), node.pod()
    stopped_netns = runtime.find_sandbox(key(stopped)).netns
    assert stopped_netns
    killed.kill_sandbox()
    eventually(lambda: not containerd.inspect(killed.sandbox_id).running)
    assert_none(runtime, key(killed))
    containerd.kubelet.stop(stopped.sandbox_id)
    assert_none(runtime, key(stopped))
    assert links_of(stopped_netns.path) == {}
    for pod in (killed, stopped):
        pod.replace_sandbox()
        assert runtime.find_sandbox(key(pod)).id == pod.sandbox_id
        pod.delete()
        assert_none(runtime, key(pod))


def test_the_newest_of_several_running_sandboxes_counts(node: Node, runtime: CriRuntime) -> None:
    pod = node.pod()
    old = [*pod.container_ids.values(), pod.sandbox_id]
    pod.attempt += 1
    pod.container_ids = {}
    pod.start_sandbox()
    assert runtime.find_sandbox(key(pod)).id == pod.sandbox_id
    for container in old:
        node.runtime.remove(container)
    assert runtime.find_sandbox(key(pod)).id == pod.sandbox_id


def test_a_pod_in_the_network_of_the_host_has_no_namespace_of_its_own(node: Node, runtime: CriRuntime) -> None:
    pod = node.pod(host_network=True)
    assert runtime.find_sandbox(key(pod)) == Sandbox(pod.sandbox_id, None, populated=True)


def test_a_list_that_is_larger_than_the_window_of_http2_is_read(
    containerd: PrivateContainerd, runtime: CriRuntime
) -> None:
    pods = [PodMetadata(f"large-{number}", "default", "one-uid") for number in range(6)]
    made = [containerd.kubelet.run_sandbox(pod, annotations={"much": "x" * 15_000}) for pod in pods]
    assert [runtime.find_sandbox(key(pod)).id for pod in pods] == made
    for sandbox in made:
        containerd.remove(sandbox)


def test_a_pod_with_users_of_its_own_is_found_like_any_other(
    containerd: PrivateContainerd, runtime: CriRuntime
) -> None:
    pod = PodMetadata("apart", "default", str(uuid.uuid4()))
    sandbox = containerd.kubelet.run_sandbox(pod, users=UserNamespace(1_000_000))
    found, pid = runtime.find_sandbox(key(pod)), containerd.inspect(sandbox).pid
    assert found.netns
    assert found.netns.inode == inode(pid)
    assert set(links_of(found.netns.path)) == {"lo", "eth0"}
    apart = Path(f"/proc/{pid}/ns/user").stat().st_ino != Path("/proc/self/ns/user").stat().st_ino
    assert apart == (containerd.version != "1.6")  # which has none of this
    containerd.remove(sandbox)


# -- a runtime that is away -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
def test_sandboxes_outlive_a_restart_of_the_runtime(
    node: Node, containerd: PrivateContainerd, runtime: CriRuntime, number: signal.Signals
) -> None:
    pod = node.pod()
    found, before = runtime.find_sandbox(key(pod)), own_sockets()
    with containerd.away(keep_containers=True, number=number), pytest.raises(RuntimeUnavailable):
        runtime.find_sandbox(key(pod))
    assert runtime.find_sandbox(key(pod)) == found
    assert runtime.find_sandbox(key(another := node.pod())).id == another.sandbox_id
    assert own_sockets() == before


def test_sandboxes_that_died_with_the_runtime_count_no_more(
    node: Node, containerd: PrivateContainerd, runtime: CriRuntime
) -> None:
    pod = node.pod()
    containerd.restart()
    assert_none(runtime, key(pod))
    pod.replace_sandbox()
    assert runtime.find_sandbox(key(pod)).id == pod.sandbox_id


@pytest.mark.promise(
    "Container runtime: containerd accepts connections and does not answer",
    "all workers give up in time, none waits for another",
)
def test_a_runtime_that_does_not_answer_is_given_up_in_time_by_all_workers_alike(
    node: Node, containerd: PrivateContainerd
) -> None:
    pod, patient = node.pod(), adapter(containerd, timeout_s=0.5)

    def ask(_: int) -> None:
        with pytest.raises(RuntimeUnavailable):
            patient.find_sandbox(key(pod))

    with containerd.frozen():
        started = time.monotonic()
        with ThreadPoolExecutor(12) as pool:
            list(pool.map(ask, range(12)))
        assert time.monotonic() - started < 4, "they waited in a row"
    assert adapter(containerd).find_sandbox(key(pod)).id == pod.sandbox_id


def own_sockets() -> int:
    return sum(target.startswith("socket:") for target in processes.open_files())


# -- following ------------------------------------------------------------------------------------------------------


class Follow:
    """A thread that waits for the sandboxes of some pods; keeps what it reports."""

    def __init__(self, runtime: CriRuntime) -> None:
        self.heard: queue.Queue[PodKey | str] = queue.Queue()
        self.waiting: list[PodKey] = []
        self.stop = threading.Event()
        hints = Hints(self.heard.put, lambda: self.heard.put("reconnected"), lambda: list(self.waiting))
        threading.Thread(target=runtime.follow, args=(hints, self.stop), daemon=True).start()
        assert self.next() == "reconnected"

    def next(self) -> PodKey | str:
        return self.heard.get(timeout=20)


Following = Callable[[CriRuntime], Follow]


@pytest.fixture
def follow() -> Iterator[Following]:
    made: list[Follow] = []

    def start(runtime: CriRuntime) -> Follow:
        made.append(Follow(runtime))
        return made[-1]

    yield start
    for each in made:
        each.stop.set()


def test_a_sandbox_that_is_waited_for_is_reported_also_after_the_runtime_was_away(
    node: Node, containerd: PrivateContainerd, runtime: CriRuntime, follow: Following, caplog: pytest.LogCaptureFixture
) -> None:
    following = follow(runtime)
    pod, later, unasked = (node.pod(start=False) for _ in range(3))
    following.waiting = [key(pod)]
    unasked.start_sandbox()
    pod.start_sandbox()
    assert following.next() == key(pod)
    following.waiting = [key(later)]
    with containerd.away(keep_containers=True):
        eventually(lambda: "does not answer, trying again" in caplog.text)
    assert following.next() == "reconnected"
    later.start_sandbox()
    assert following.next() == key(later)
    assert following.heard.empty()
