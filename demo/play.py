"""The example of the README, step by step: every command is run as it is printed, and what it promises is checked.

Run by the supervisor as a process of its own, which cleans nothing up and may be killed at any moment.
"""

from __future__ import annotations

import argparse
import ctypes
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from demo import host
from demo.kubelet import RunningPod
from demo.runtimes import version
from demo.stage import SYSTEM_CONFS, Stage, build
from demo.telling import Teller
from lab.links import Links, links_of
from lab.netlink import NamespaceMonitor, wait_for
from lab.networks import plugin_dir
from lab.programs import RUNTIMES
from lab.waiting import eventually

IFNAME = "net8d777f385d3d"
SUBNET = "172.20.1."
_FIRST = "$(kubectl get pod -l run=hello-multi-net -o name | cut -d/ -f2 | head -1)"
_SECOND = "$(kubectl get pod -l run=hello-multi-net -o name | cut -d/ -f2 | tail -1)"
_CHANGE_SECONDS = 30.0
_PR_SET_PDEATHSIG = 1


class Broken(Exception):
    """Something is not as the example promises."""


class Play:
    """The steps. Each prints what it does and raises `Broken` when the outcome is not what it should be."""

    def __init__(self, stage: Stage, tell: Teller) -> None:
        self._stage = stage
        self._tell = tell
        self._log_read = 0
        self._summary: list[str] = []

    def perform(self) -> list[str]:
        """The whole example; returns what was found true, a line each."""
        first, second = self._deploy()
        self._add(first, _FIRST, "Add the network to the first pod")
        self._delete(first, _FIRST)
        self._add(second, _SECOND, "The same with the second pod")
        self._show_bridge()
        self._summary.append("no container was restarted: same container IDs, same start times, no restarts counted")
        self._summary.append("eth0 of both pods is as it was")
        return self._summary

    def _deploy(self) -> list[RunningPod]:
        self._tell.step('Define the network "data": a bridge, and addresses from 172.20.1.0/24')
        self._run("kubectl apply -f examples/data-net.yaml")
        self._tell.step("Start two pods that know nothing of it")
        self._run("kubectl run hello-multi-net --image=alpine --replicas=2 -- top")
        pods = eventually(self._two_running, 60, "both pods to run")
        for pod in pods:
            if set(links_of(pod.netns)) != {"lo", "eth0"}:
                raise Broken(f"pod {pod.name} should have lo and eth0 only: {links_of(pod.netns)}")
        self._tell.good("both run, with eth0 only")
        return pods

    def _two_running(self) -> list[RunningPod]:
        pods = self._stage.kubelet.running()
        return pods if len(pods) == 2 else []

    def _add(self, pod: RunningPod, name: str, title: str) -> None:
        self._tell.step(title)
        eth0 = links_of(pod.netns)["eth0"]
        took = self._change(pod, f"./scripts/add-network-annotation.sh {name} data", ("address", IFNAME))
        self._tell.step("Its interface is there")
        shown = self._run(f"kubectl exec -t {name} -- ip a", highlight=IFNAME)
        links = links_of(pod.netns)
        address = self._address(links)
        if IFNAME not in shown or address not in shown:
            raise Broken(f"`ip a` in the pod does not show {IFNAME} with {address}")
        self._found(f"{IFNAME} with {address} was in pod {pod.name} {took:.0f} ms after the annotation")
        if links["eth0"] != eth0:
            raise Broken(f"eth0 of pod {pod.name} has changed: {eth0} before, {links['eth0']} now")
        self._not_restarted(pod, name)

    def _delete(self, pod: RunningPod, name: str) -> None:
        self._tell.step("Delete the network from the first pod")
        took = self._change(pod, f"./scripts/del-network-annotation.sh {name} data", ("gone", IFNAME))
        self._tell.step("Its interface is gone")
        shown = self._run(f"kubectl exec -t {name} -- ip a")
        if IFNAME in shown or IFNAME in links_of(pod.netns):
            raise Broken(f"{IFNAME} is still in pod {pod.name}")
        self._found(f"{IFNAME} was gone from it {took:.0f} ms after the annotation was changed")
        self._not_restarted(pod, name)

    def _change(self, pod: RunningPod, command: str, change: tuple[str, str]) -> float:
        """Runs a command that changes the annotation; milliseconds from the API server's PATCH to the interface."""
        begun = time.monotonic()
        with _watching(pod.netns) as monitor, ThreadPoolExecutor(1) as background:
            seen = background.submit(wait_for, [monitor], [change], _CHANGE_SECONDS)
            self._run(command)
            try:
                at = seen.result()
            except TimeoutError:
                raise Broken(f"interface {IFNAME} of pod {pod.name}: not {change[0]} within 30 s") from None
        patches = self._stage.api.requests.all("patch", "pods", begun)
        if not patches:
            raise Broken("the annotation was not changed")
        self._quote_agent(pod)
        # Both clocks are CLOCK_MONOTONIC: time.perf_counter is, on Linux.
        return (at - patches[-1].time) * 1000

    def _not_restarted(self, pod: RunningPod, name: str) -> None:
        shown = self._run(f"kubectl get pod -l run=hello-multi-net -o wide | grep {name}")
        now = next(each for each in self._stage.kubelet.running() if each.name == pod.name)
        if now != pod or pod.name not in shown:
            raise Broken(f"pod {pod.name} has changed: {pod} before, {now} now")
        container = pod.containers[1]
        self._tell.good(f"not restarted: still container {container.id[:12]}, started at {container.started[11:23]}")

    def _show_bridge(self) -> None:
        self._tell.step("The node's end: the bridge, with the second pod on it")
        # The real brctl is not everywhere any more, and busybox's lists all bridges or none.
        show = "brctl show" if shutil.which("brctl") else "ip link show master"
        shown = self._run(f"{show} {host.BRIDGE}")
        if host.BRIDGE not in shown or "veth" not in shown:
            raise Broken(f"bridge {host.BRIDGE} has no interface of the pod")

    def _run(self, command: str, highlight: str = "") -> str:
        self._tell.command(command)
        code, output = self._stage.run(command)
        self._tell.output(output, highlight)
        if code:
            raise Broken(f"the command ended with {code}")
        return output

    def _quote_agent(self, pod: RunningPod) -> None:
        """What the agent has logged about the pod since it was asked last; it says at least one thing about it."""

        def said() -> list[str]:
            return [line for line in self._stage.agent.log()[self._log_read :].splitlines() if pod.name in line]

        for line in eventually(said, 10, "the agent to log what it did"):
            self._tell.agent(line.partition(" ")[2])
        self._log_read = len(self._stage.agent.log())

    def _address(self, links: Links) -> str:
        addresses = links[IFNAME].addresses if IFNAME in links else ()
        fitting = [each for each in addresses if each.startswith(SUBNET) and each.endswith("/24")]
        if not fitting:
            raise Broken(f"{IFNAME} has no address of {SUBNET}0/24: {addresses}")
        return fitting[0]

    def _found(self, truth: str) -> None:
        self._tell.good(truth)
        self._summary.append(truth)


@contextmanager
def _watching(netns: str) -> Iterator[NamespaceMonitor]:
    monitor = NamespaceMonitor(netns)
    try:
        yield monitor
    finally:
        monitor.close()


def main() -> int:
    """Returns the exit code: 0 when everything is as promised."""
    _end_with_supervisor()
    parser = argparse.ArgumentParser()
    parser.add_argument("--mode", choices=tuple(SYSTEM_CONFS), required=True)
    parser.add_argument("--runtime", choices=tuple(RUNTIMES), required=True)
    arguments = parser.parse_args()
    tell = Teller()
    begun = time.monotonic()
    _introduce(tell, arguments.mode, arguments.runtime)
    stage = None
    try:
        stage = build(arguments.mode, arguments.runtime, lambda what: tell.line(f"   starting {what} ..."))
        tell.line(f"   ready after {time.monotonic() - begun:.1f} s")
        summary = Play(stage, tell).perform()
    except Exception as error:  # whatever went wrong, a stack trace would not tell the audience
        tell.line()
        tell.bad(str(error) or type(error).__name__)
        for line in stage.agent.log().splitlines()[-5:] if stage else ():
            tell.agent(line)
        return 1
    tell.line()
    tell.heading("As promised:")
    for truth in summary:
        tell.good(truth)
    return 0


def _introduce(tell: Teller, mode: str, runtime: str) -> None:
    tell.heading("podagent: networks for running pods, without a restart")
    tell.line()
    builder = ", kactus as the node's CNI plugin" if mode == "system" else ""
    tell.line(f"   real      podagent (attach-via {mode}){builder};")
    tell.line(f"             containers, in a private {RUNTIMES[runtime]} ({version(runtime)}); network namespaces;")
    tell.line(f"             the CNI plugins in {plugin_dir()}")
    tell.line("   stand-in  API server, kubelet and kubectl are small programs of this project, in place of a cluster;")
    tell.line('             the image "alpine" is this machine\'s busybox: nothing is downloaded')
    tell.line("   plays     the example of README.md; every command is run as you see it")
    tell.line()


def _end_with_supervisor() -> None:
    """Whatever happens to the supervisor, nothing new is started any more."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)


if __name__ == "__main__":
    sys.exit(main())
