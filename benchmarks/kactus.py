"""What kactus costs, beside what the bare CNI plugin costs in the same run: time by the clock and of the processor.

Real namespaces and plugins; the API server is the loopback stand-in of the tests, over TLS. The times include
everything that a call starts: of kactus, those of the plugin that it runs.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / part) for part in ("tests", "src")]

from benchmarks.bare import BarePlugin
from lab.apiserver import ApiServer
from lab.kactus import Kactus, agent_args, install
from lab.networks import Network, Networks, plugin_dir
from podagent.decide.dialects.kaloom_names import interface_name

WARM_UP, ROUNDS = 3, 25
CONTAINER = "benchmark-sandbox"


@dataclass
class Samples:
    """Milliseconds of each call of one kind."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def take(self, act: Callable[[], object]) -> None:
        cpu, began = _children_cpu_s(), time.perf_counter()
        act()
        self.wall.append((time.perf_counter() - began) * 1000)
        self.cpu.append((_children_cpu_s() - cpu) * 1000)


class Table:
    """The samples by what was measured, in the order of their first appearance."""

    def __init__(self) -> None:
        self._rows: dict[str, Samples] = {}

    def __getitem__(self, name: str) -> Samples:
        return self._rows.setdefault(name, Samples())

    def __str__(self) -> str:
        lines = ["| one at a time, idle node | median ms | 95th percentile ms | CPU ms |", "|---|---:|---:|---:|"]
        for name, taken in self._rows.items():
            wall, cpu = taken.wall[WARM_UP:], taken.cpu[WARM_UP:]
            high = statistics.quantiles(wall, n=20)[18]
            lines.append(f"| {name} | {statistics.median(wall):.1f} | {high:.1f} | {statistics.mean(cpu):.1f} |")
        return "\n".join(lines)


@dataclass
class Bench:
    """Everything that is measured on."""

    kactus: Kactus
    network: Network
    bare_network: Network
    pid: int

    def call(self, command: str, netns: str) -> None:
        name = self.network.name
        args = agent_args(CONTAINER, "default", "pod", name)
        answer = self.kactus.call(command, CONTAINER, netns, interface_name(name), args)
        if not answer.ok:
            raise RuntimeError(f"kactus {command}: {answer.message}")


def main() -> None:
    """Prints the table."""
    table = Table()
    with bench_node() as bench:
        plugin = BarePlugin(plugin_dir(), bench.bare_network.config)
        by_process, by_name = f"/proc/{bench.pid}/ns/net", f"/proc/self/root/proc/{bench.pid}/ns/net"
        for _ in range(WARM_UP + ROUNDS):  # in turn, so that a change of the machine's mood hits all
            table["python alone"].take(lambda: subprocess.run([sys.executable, "-I", "-c", ""], check=True))
            table["bare VERSION"].take(lambda: _bare_version(plugin_dir() / "bridge"))
            table["kactus VERSION"].take(lambda: bench.kactus.call("VERSION", conf=""))
            for command, bare in (("ADD", plugin.add), ("DEL", plugin.delete)):
                table[f"bare {command}"].take(partial(bare, CONTAINER, by_process, "net0"))
                table[f"kactus {command}"].take(partial(bench.call, command, by_process))
            for command in ("ADD", "DEL"):
                row = f"kactus {command}, namespace not named by a process"
                table[row].take(partial(bench.call, command, by_name))
    print(table)


@contextlib.contextmanager
def bench_node() -> Iterator[Bench]:
    with tempfile.TemporaryDirectory(prefix="podagent-bench-") as name, ApiServer(tls=True) as api:
        directory, networks = Path(name), Networks(api)
        inside = subprocess.Popen(["unshare", "--net", "sleep", "3600"])
        try:
            _wait_for_namespace(inside.pid)
            kubeconfig = api.write_kubeconfig(directory / "kubeconfig")
            master, network, bare = (networks.bridge() for _ in range(3))
            executable = install(directory / "bin")
            kactus = Kactus(executable, plugin_dir(), directory / "kactus", kubeconfig, master.config)
            yield Bench(kactus, network, bare, inside.pid)
        finally:
            inside.kill()
            inside.wait()
            networks.remove_all()


def _wait_for_namespace(pid: int) -> None:
    own = Path("/proc/self/ns/net").stat().st_ino
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}/ns/net").stat().st_ino == own:
        if time.monotonic() > deadline:
            raise RuntimeError("no network namespace was made")
        time.sleep(0.01)


def _bare_version(plugin: Path) -> None:
    env = {"CNI_COMMAND": "VERSION", "PATH": os.environ["PATH"]}
    stdin = json.dumps({"cniVersion": "1.0.0"}).encode()
    subprocess.run([str(plugin)], input=stdin, env=env, check=True, capture_output=True, timeout=60)


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
