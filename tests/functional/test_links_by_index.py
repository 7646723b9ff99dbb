"""A workload renames its links, replaces or moves them: the agent finds its own by their index."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from functional.bed import Bed
from functional.expectations import ifname, records, wait_for_event
from functional.outcomes import delete_link, plugged
from functional.ways import BOTH_WAYS
from lab.networks import Network
from lab.node import Pod
from lab.waiting import eventually

pytestmark = pytest.mark.root


class Workload:
    """What runs in the pod."""

    def __init__(self, pod: Pod, ends: ExitStack) -> None:
        self._pod = pod
        self._ends = ends

    def rename(self, name: str) -> None:
        self._ip("link", "set", name, "down")
        self._ip("link", "set", name, "name", "renamed-nic")
        self._ip("link", "set", "renamed-nic", "up")

    def replace(self, name: str) -> None:
        """As KubeVirt's bridge binding does."""
        self.rename(name)
        self._ip("link", "add", name, "type", "bridge")

    def move(self, name: str) -> None:
        """Into a network namespace of its own."""
        inner = subprocess.Popen([*self._inside(), "unshare", "-n", "sleep", "120"])
        self._ends.callback(inner.wait)
        self._ends.callback(inner.kill)
        outer = {Path(path).stat().st_ino for path in ("/proc/self/ns/net", self._pod.netns)}
        eventually(lambda: Path(f"/proc/{inner.pid}/ns/net").stat().st_ino not in outer, what="the inner namespace")
        self._ip("link", "set", name, "netns", str(inner.pid))

    def remove(self, name: str) -> None:
        self._ip("link", "del", name)

    def _ip(self, *command: str) -> None:
        subprocess.run([*self._inside(), "ip", *command], check=True)

    def _inside(self) -> list[str]:
        return ["nsenter", "-t", str(self._pod.pid), "-n"]


@pytest.fixture
def ends() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def tampered(bed: Bed, how: Callable[[Workload, str], None], ends: ExitStack) -> tuple[Pod, Workload, Network, Network]:
    """A pod with two networks whose workload did that to the link of the first one; the agent has looked since then."""
    network, beside = bed.networks.bridge(), bed.networks.bridge()
    pod = bed.attached(network, beside)
    workload = Workload(pod, ends)
    how(workload, ifname(network))
    (before,) = [each for each in records(bed.agent) if each["attachment"]["ifname"] == ifname(network)]
    links = plugged(pod).keys()
    delete_link(pod, ifname(beside))
    bed.agent.reload()
    eventually(lambda: plugged(pod).keys() == links, what="the link that vanished")
    assert before in records(bed.agent)
    return pod, workload, network, beside


@BOTH_WAYS
@pytest.mark.parametrize("how", [Workload.rename, Workload.replace, Workload.move])
@pytest.mark.promise(
    "Interfaces: the workload renames a link, or moves it to a namespace of its own",
    "it is no drift; unplugging removes it, but no other link under its name",
)
def test_a_link_is_detached_though_the_workload_did_this_to_it(
    bed: Bed, how: Callable[[Workload, str], None], ends: ExitStack
) -> None:
    pod, workload, network, beside = tampered(bed, how, ends)
    pod.annotate([beside.name])
    if how is not Workload.rename:
        wait_for_event(bed.api, pod, "NetworkDetached", ifname(network), "DEL left the link")
    if how is Workload.replace:
        assert plugged(pod).keys() == {ifname(network), ifname(beside)}
        workload.remove(ifname(network))
    bed.settles({pod: [beside]})
