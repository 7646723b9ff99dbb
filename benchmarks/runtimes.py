"""What the agent costs on each container runtime: start, memory, a lookup, and the wait for a pod's first interface.

As root: `python -m benchmarks.runtimes [LIBRARIES PYTHON]`, for Docker and each containerd that is there. Without
arguments the agent runs from src. For the figures of the package, LIBRARIES is the /opt/kaloom/lib/podagent that
`packaging/stage.sh` lays out, and PYTHON the node's, such as /usr/bin/python3.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from contextlib import AbstractContextManager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / part) for part in ("tests", "src")]

from benchmarks import lookups
from functional.bed import Bed
from functional.expectations import ifname
from lab.agent import Agent
from lab.containerd import VERSIONS, PrivateContainerd, is_there
from lab.dockerd import PrivateDockerd
from lab.networks import Network
from lab.node import Pod
from lab.podruntime import PodRuntime

PODS, STARTS, WAITS = 30, 5, 15
TITLES = (
    "start to READY, s", f"RSS then, {PODS} pods, MiB", f"RSS after {WAITS} attachments, MiB",
    "a lookup, ms of processor", f"RSS gained by {lookups.LOOKUPS} lookups, MiB",
    "READY sandbox to interface, ms", "the slowest, ms",
)  # fmt: skip


def starts(agent: Agent) -> tuple[float, float]:
    """Medians of the seconds to READY and of the RSS in MiB at that time."""
    ready, rss = [], []
    for _ in range(STARTS):
        agent.stop()
        agent.start(wait=False)
        ready.append(agent.wait_ready())
        rss.append(agent.rss_kib() / 1024)
    return statistics.median(ready), statistics.median(rss)


def waits(bed: Bed, network: Network) -> list[float]:
    """Milliseconds from a sandbox to the interface of a network that its pod has been annotated with before."""
    took = []
    for _ in range(WAITS):
        pod = bed.node.pod(networks=[network.name], start=False)
        pod.start_sandbox()
        began = time.perf_counter()
        links, line = Path(f"/proc/{pod.pid}/net/dev"), f"{ifname(network)}:"
        while line not in links.read_text() and time.perf_counter() < began + 20:
            time.sleep(0.002)
        took.append((time.perf_counter() - began) * 1000)
        pod.delete()
    return took


def looked_up(bed: Bed, python: str, pod: Pod) -> tuple[float, float]:
    """Milliseconds of a lookup, and MiB that many of them take; see `lookups`."""
    endpoints = [str(bed.agent.options.get(f"{kind}-endpoint", "")) for kind in ("cri", "docker")]
    command = [python, lookups.__file__, *endpoints, pod.namespace, pod.name, pod.uid]
    done = subprocess.run(command, env=bed.agent.env, check=True, capture_output=True, text=True)
    took, few, many = json.loads(done.stdout)
    return took, many - few


def measure(runtime: PodRuntime, libraries: str, python: str) -> list[str]:
    launcher = Path(libraries) / "start_podagent.py"
    command = [python, *(("-I", str(launcher)) if launcher.exists() else ("-m", "podagent"))]
    bed = Bed(runtime, "delegate", command=command, env={"PYTHONPATH": libraries}, options={"log-level": "info"})
    try:
        pods = bed.node.many(PODS)
        ready, rss = starts(bed.agent)
        network = bed.networks.bridge()
        waited = waits(bed, network)
        used = bed.agent.rss_kib() / 1024
        took, gained = looked_up(bed, python, pods[0])
        slowest = max(waited)
        digits = (
            f"{ready:.2f} {rss:.1f} {used:.1f} {took:.2f} {gained:+.1f} {statistics.median(waited):.0f} {slowest:.0f}"
        )
        return digits.split()
    finally:
        bed.close()


def main(libraries: str = str(ROOT / "src"), python: str = sys.executable) -> None:
    # Without bytecode an import costs the process memory for as long as it lives.
    subprocess.run([python, "-m", "compileall", "-q", libraries], check=True)
    runtimes: dict[str, AbstractContextManager[PodRuntime]] = {"Docker": PrivateDockerd()}
    runtimes |= {f"containerd {each}": PrivateContainerd(each) for each in VERSIONS if is_there(each)}
    columns = []
    for name, there in runtimes.items():
        print(f"{name} ...", flush=True)
        with there as runtime:
            columns.append(measure(runtime, libraries, python))
    print(f"\n| medians | {' | '.join(runtimes)} |\n|---{'|---:' * len(runtimes)}|")
    for row in zip(TITLES, *columns, strict=True):
        print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main(*sys.argv[1:])
