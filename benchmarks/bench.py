"""What the agent costs, beside what the bare CNI plugin costs in the same run: latency, bursts, memory, start.

Real dockerd, containers, network namespaces, bridge and host-local plugins and agent process; the API server is the
loopback stand-in of the tests. Absolute figures are this machine's; the ratios and differences are the product's.
"""

from __future__ import annotations

import http.client
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / part) for part in ("tests", "src")]

from benchmarks.bare import BarePlugin
from lab.agent import Agent
from lab.apiserver import ApiServer
from lab.dockerd import PrivateDockerd
from lab.netlink import Change, NamespaceMonitor, wait_for
from lab.networks import Network, Networks, plugin_dir
from lab.node import Node, Pod
from podagent.decide.dialects.kaloom_names import interface_name

PODS, NETWORKS, ROUNDS = 30, 4, 30
PARALLEL = (1, 2, 4, 8)


@dataclass
class Bench:
    """Everything that is measured on."""

    api: ApiServer
    agent: Agent
    pods: list[Pod]
    networks: list[Network]
    bare_network: Network

    def patch_all(self, networks: list[str]) -> None:
        for pod in self.pods:
            self.patch(pod, networks)

    def patch(self, pod: Pod, networks: list[str]) -> None:
        """A PATCH of the annotation over HTTP, as kubectl would send it."""
        body = {"metadata": {"annotations": {"networks": json.dumps([{"name": name} for name in networks])}}}
        self._http.request(
            "PATCH",
            f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}",
            json.dumps(body),
            {"Content-Type": "application/merge-patch+json"},
        )
        answer = self._http.getresponse()
        answer.read()
        if answer.status != 200:
            raise RuntimeError(f"PATCH answered {answer.status}")

    def __post_init__(self) -> None:
        self._http = http.client.HTTPConnection(urlsplit(self.api.url).netloc, timeout=30)


@contextmanager
def bench_node() -> Iterator[tuple[Bench, float]]:
    """A node with pods, networks and a running agent; also gives the seconds from its start to READY."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="podagent-bench-")))
        api = stack.enter_context(ApiServer())
        runtime = stack.enter_context(PrivateDockerd(directory / "docker"))
        kubeconfig = directory / "kubeconfig"
        api.write_kubeconfig(kubeconfig)
        node, networks = Node(api, runtime), Networks(api)
        stack.callback(networks.remove_all)
        stack.callback(node.remove_all)
        pods = node.many(PODS)
        made = [networks.bridge() for _ in range(NETWORKS + 1)]
        agent = Agent(
            directory / "agent",
            kubeconfig=kubeconfig,
            docker_endpoint=runtime.endpoint,
            cni_bin_path=plugin_dir(),
            options={"log-level": "info"},
        )
        stack.callback(agent.close)
        agent.start(wait=False)
        ready = agent.wait_ready()
        yield Bench(api, agent, pods, made[:NETWORKS], made[NETWORKS]), ready


def timed(act: Callable[[], object], monitors: list[NamespaceMonitor], changes: list[Change]) -> float:
    """Milliseconds from the beginning of `act` until every monitor has seen every change."""
    with ThreadPoolExecutor(1) as beside:  # so that a change is seen when it happens, not when `act` returns
        begin = time.perf_counter()
        acting = beside.submit(act)
        seen = wait_for(monitors, changes)
        acting.result()
    return (seen - begin) * 1000


def latency(bench: Bench) -> dict[str, list[float]]:
    """One attachment at a time on an idle node, agent and bare plugin in turn, on the same pod."""
    pod, network, bare = bench.pods[0], bench.networks[0], plugin_of(bench.bare_network)
    ifname, bare_ifname = interface_name(network.name), interface_name(bench.bare_network.name)
    samples: dict[str, list[float]] = {name: [] for name in ("agent ADD", "agent DEL", "bare ADD", "bare DEL")}
    for round_number in range(ROUNDS + 3):
        measured = {
            "agent ADD": (lambda: bench.patch(pod, [network.name]), ("address", ifname)),
            "agent DEL": (lambda: bench.patch(pod, []), ("gone", ifname)),
            "bare ADD": (lambda: bare.add(pod.sandbox_id, pod.netns, bare_ifname), ("address", bare_ifname)),
            "bare DEL": (lambda: bare.delete(pod.sandbox_id, pod.netns, bare_ifname), ("gone", bare_ifname)),
        }
        for name, (act, change) in measured.items():
            monitor = NamespaceMonitor(pod.netns)
            took = timed(act, [monitor], [change])
            monitor.close()
            if round_number >= 3:  # the first rounds warm caches up
                samples[name].append(took)
    return samples


def burst(bench: Bench) -> tuple[float, float]:
    """Attachments per second when every pod gets all networks at once, and detachments when they all lose them."""
    names = [network.name for network in bench.networks]

    def annotate(wanted: list[str]) -> Callable[[], object]:
        return lambda: bench.patch_all(wanted)

    return rate(bench, "address", annotate(names)), rate(bench, "gone", annotate([]))


def bare_burst(bench: Bench, parallel: int) -> tuple[float, float]:
    """The same work by the bare plugin, so many at a time, one at a time for each pod as CNI demands."""
    plugins = [(plugin_of(network), interface_name(network.name)) for network in bench.networks]

    def everywhere(command: str) -> Callable[[], object]:
        def one_pod(pod: Pod) -> None:
            for plugin, ifname in plugins:
                getattr(plugin, command)(pod.sandbox_id, pod.netns, ifname)

        def act() -> None:
            with ThreadPoolExecutor(parallel) as pool:
                list(pool.map(one_pod, bench.pods))

        return act

    return rate(bench, "address", everywhere("add")), rate(bench, "gone", everywhere("delete"))


def rate(bench: Bench, what: str, act: Callable[[], object]) -> float:
    monitors = [NamespaceMonitor(pod.netns) for pod in bench.pods]
    took = timed(act, monitors, [(what, interface_name(network.name)) for network in bench.networks])
    for monitor in monitors:
        monitor.close()
    return PODS * NETWORKS / (took / 1000)


def plugin_of(network: Network) -> BarePlugin:
    return BarePlugin(plugin_dir(), network.config)


def report_latency(samples: dict[str, list[float]]) -> None:
    print("\n| one at a time, idle node | median ms | 95th percentile ms |\n|---|---:|---:|")
    for name, values in samples.items():
        print(f"| {name} | {statistics.median(values):.1f} | {statistics.quantiles(values, n=20)[18]:.1f} |")
    for command in ("ADD", "DEL"):
        over = statistics.median(samples[f"agent {command}"]) - statistics.median(samples[f"bare {command}"])
        print(f"| {command}: agent over bare | {over:+.1f} | |")


def report_bursts(agent: list[tuple[float, float]], bare: dict[int, tuple[float, float]]) -> None:
    print(f"\n| {PODS * NETWORKS} attachments over {PODS} pods | attach/s | detach/s |\n|---|---:|---:|")
    best = [max(figures[index] for figures in bare.values()) for index in (0, 1)]
    for parallel, (add, delete) in bare.items():
        print(f"| bare plugin, {parallel} at a time | {add:.0f} | {delete:.0f} |")
    add, delete = (statistics.median(figures[index] for figures in agent) for index in (0, 1))
    print(f"| agent (median of {len(agent)}) | {add:.0f} | {delete:.0f} |")
    print(f"| agent / best bare rate | {add / best[0]:.0%} | {delete / best[1]:.0%} |")


def main() -> None:
    print(f"Starting dockerd, {PODS} pods and the agent ...", flush=True)
    with bench_node() as (bench, ready):
        idle_rss = bench.agent.rss_kib() / 1024
        print("One attachment at a time ...", flush=True)
        samples = latency(bench)
        print("Bursts ...", flush=True)
        agent, bare = [], {}
        for parallel in PARALLEL:  # in turn, so that a change of the machine's mood hits both
            bare[parallel] = bare_burst(bench, parallel)
            agent.append(burst(bench))
        names = [network.name for network in bench.networks]
        rate(bench, "address", lambda: bench.patch_all(names))
        full_rss = bench.agent.rss_kib() / 1024
        rate(bench, "gone", lambda: bench.patch_all([]))
        report_latency(samples)
        report_bursts(agent, bare)
        print("\n| agent process | |\n|---|---:|")
        print(f"| start to READY | {ready:.2f} s |\n| RSS after start | {idle_rss:.1f} MiB |")
        print(f"| RSS with {PODS * NETWORKS} attachments | {full_rss:.1f} MiB |")


if __name__ == "__main__":
    main()
