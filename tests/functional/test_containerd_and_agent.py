"""The agent on a real containerd: beside kactus, in pods with users of their own, and through an upgrade."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from functional.bed import Bed
from functional.expectations import ifname, order, wait_for_line
from functional.outcomes import plugged
from lab.containerd import VERSIONS, Cni, PrivateContainerd, is_there
from lab.cri import UserNamespace
from lab.links import links_of
from lab.node import Pod
from lab.waiting import eventually

pytestmark = pytest.mark.root


def there(version: str) -> str:
    if not is_there(version):
        pytest.skip(f"containerd {version} is not there: run scripts/setup.sh runtimes")
    return version


@pytest.fixture(params=VERSIONS)
def bed(request: pytest.FixtureRequest, workdir: Path) -> Iterator[Bed]:
    """Its pods have eth0 and what they want from the start by the kactus of the node, which the runtime tells of."""
    cni = Cni(workdir / "net.d", workdir / "bin")
    with PrivateContainerd(there(request.param), cni=cni) as containerd:
        bed = Bed(containerd, "kactus", options={"cni-bin-path": "", "cni-conf-path": ""})
        assert bed.kactus
        cni.bin_dir.symlink_to(bed.plugins.path)
        shutil.copy(bed.kactus.conf_dir / "05-kactus.conf", cni.conf_dir)
        with bed.lent():
            yield bed
        bed.close()


@pytest.fixture
def pod_runtime(version: str) -> Iterator[PrivateContainerd]:
    with PrivateContainerd(there(version)) as containerd:
        yield containerd


@pytest.mark.promise(
    "Container runtime: kactus attaches the networks of a pod at its start, for the runtime",
    "the agent adopts them; what it attaches itself goes with the sandbox too",
)
def test_what_containerd_had_kactus_make_is_adopted_and_goes_with_what_the_agent_added(bed: Bed) -> None:
    assert bed.kactus
    data, red, late = (bed.networks.bridge() for _ in range(3))
    bed.plugins.record("bridge")
    pod = bed.node.pod(networks=[data.name, red.name], start=False)
    pod.eth0_by_kactus = True
    pod.start_sandbox()
    made = pod.links()
    assert set(made) == {"lo", "eth0", ifname(data), ifname(red)}, "they are there before the first container"
    pod.start_containers()
    pod.report_running()
    for network in (data, red):
        wait_for_line(bed.agent, "adopted", ifname(network), pod.name)
    assert order(bed.plugins.calls()) == ["eth0", ifname(data), ifname(red)]
    assert pod.links() == made

    pod.annotate([data.name, late.name])
    bed.settles({pod: [data, late]})
    names = {"NAME": pod.name, "UID": pod.uid, "INFRA_CONTAINER_ID": pod.sandbox_id}
    known = {f"K8S_POD_{name}={value}" for name, value in names.items()}
    assert all(known <= set(call.args) for call in bed.plugins.calls()), "the runtime's calls and the agent's are alike"

    pod.delete()
    bed.settles({})
    assert bed.kactus.attachments() == set()


def test_a_sandbox_is_there_for_the_agent_when_the_network_setup_of_the_kubelet_has_ended(bed: Bed) -> None:
    data = bed.networks.bridge()
    bed.plugins.record("bridge")
    gate = bed.plugins.gate("host-local", "after")
    pod = bed.node.pod(networks=[data.name], start=False)
    pod.eth0_by_kactus = True
    with ThreadPoolExecutor(1) as kubelet, contextlib.ExitStack() as held:
        held.callback(gate.open)
        started = kubelet.submit(pod.start)
        gate.wait_reached()
        for _ in range(3):
            looks = looks_at(bed, pod)
            eventually(lambda: looks_at(bed, pod) > looks, what="another look at the pod")  # noqa: B023 - called at once
        assert gate.arrivals == 1
        gate.open()
        started.result()
    bed.settles({pod: [data]})
    assert order(bed.plugins.calls()) == ["eth0", ifname(data)]


def looks_at(bed: Bed, pod: Pod) -> int:
    return bed.agent.log().count(f"{pod.name}: 0 interfaces recorded, next pass in")


@pytest.mark.parametrize("version", VERSIONS)
def test_networks_annotated_from_the_start_are_there_half_a_second_after_the_sandbox(
    own_bed: Callable[[], Bed], pod_runtime: PrivateContainerd
) -> None:
    bed = own_bed()
    data = bed.networks.bridge()

    def seconds() -> float:
        pod = bed.node.pod(networks=[data.name], start=False)
        wait_for_line(bed.agent, "waiting", pod.name)
        pod.start_sandbox()
        ready = time.monotonic()
        pod.wait_for(lambda links: ifname(data) in links)
        return time.monotonic() - ready

    taken = sorted(seconds() for _ in range(5))
    print(f"seconds from sandbox to interface: {taken}")
    assert taken[2] <= 0.5


NS_GET_USERNS = 0xB701


def users_of(netns: str) -> int:
    """Inode of the user namespace that owns it."""
    with Path(netns).open() as file:
        owner = fcntl.ioctl(file, NS_GET_USERNS)
    with os.fdopen(owner):
        return os.fstat(owner).st_ino


@pytest.mark.promise(
    "Pods: a pod has users of its own (hostUsers: false), which own its network namespace",
    "networks come and go, and end with the pod, as in any other",
)
@pytest.mark.parametrize("version", VERSIONS[1:])  # 1.6 has no such pods
@pytest.mark.parametrize("end", [Pod.delete, Pod.lose_sandbox])
def test_networks_come_and_go_in_a_pod_with_users_of_its_own(
    own_bed: Callable[[], Bed], pod_runtime: PrivateContainerd, end: Callable[[Pod], None]
) -> None:
    bed = own_bed()
    pod_runtime.users = UserNamespace(1_000_000)
    data, red = bed.networks.bridge(), bed.networks.bridge(tuning=True, then={"type": "sbr"})
    pod = bed.node.pod(networks=[data.name], start=False)
    pod.commands = {}  # the runc of Debian 12 starts no containers in it for 2.1
    pod.start()
    bed.settles({pod: [data]})
    assert users_of(pod.netns) != users_of("/proc/self/ns/net")
    pod.annotate([data.name, red.name])
    bed.settles({pod: [data, red]})
    pod.annotate([red.name])
    bed.settles({pod: [red]})
    end(pod)
    bed.settles({})


@pytest.mark.promise(
    "Pods: a sandbox is killed on containerd, which reports nothing, while its containers live on",
    "they keep their interfaces; the sandbox that replaces it gets them, no address leaks",
)
@pytest.mark.parametrize("version", VERSIONS)
def test_a_sandbox_that_died_silently_keeps_its_networks_until_it_is_replaced(
    own_bed: Callable[[], Bed], pod_runtime: PrivateContainerd
) -> None:
    bed = own_bed()
    data, red = bed.networks.bridge(), bed.networks.bridge()
    pod = bed.attached(data)
    inside = f"/proc/{pod_runtime.inspect(pod.container_ids['main']).pid}/ns/net"
    attached = links_of(inside)[ifname(data)]
    pod_runtime.kill(pod.sandbox_id)
    pod.annotate([data.name, red.name])
    wait_for_line(bed.agent, "waiting: the container runtime has no running sandbox", pod.name)
    assert links_of(inside)[ifname(data)] == attached
    assert [lease.container_id for lease in data.leases()] == [pod.sandbox_id]
    pod.replace_sandbox()
    bed.settles({pod: [data, red]})


@pytest.mark.promise(
    "Container runtime: containerd is upgraded from 1.6 to 2.1 under the agent",
    "interfaces stay; detaches go on, attaches follow, in the pods that ran and in new ones",
)
@pytest.mark.parametrize("version", VERSIONS[:1])
def test_an_upgrade_of_the_runtime_is_survived_by_the_agent_and_what_it_attached(
    own_bed: Callable[[], Bed], pod_runtime: PrivateContainerd
) -> None:
    there(VERSIONS[-1])
    bed = own_bed()
    data, red = bed.networks.bridge("data"), bed.networks.bridge("red")
    steady, goes, comes, ends = bed.all_attached(4, data)
    before = plugged(steady)
    with pod_runtime.away(keep_containers=True):
        pod_runtime.version = VERSIONS[-1]
        goes.annotate([])
        goes.wait_for_no_link(ifname(data))
        comes.annotate(["data", "red"])
    new = bed.node.pod(networks=["red"])
    ends.delete()
    bed.settles({steady: [data], goes: [], comes: [data, red], new: [red]})
    assert plugged(steady) == before
