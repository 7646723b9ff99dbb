"""A node with its agent at work, for one test after the other."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from functional.outcomes import Wanted, settles
from functional.ways import NodeKactus
from lab.agent import Agent
from lab.apiserver import ApiServer
from lab.host import HostState, wait_as_before
from lab.networks import Network, Networks
from lab.node import Node, Pod
from lab.plugins import PluginDir
from lab.podruntime import PodRuntime


class Bed:
    """The parts of a node, up to the agent, which runs.

    Attributes:
        workdir: everything of the bed is below it.
        kactus: the node's system CNI plugin; None where the agent attaches by itself.
    """

    def __init__(self, runtime: PodRuntime, via: str, **changes: Any) -> None:
        """`via`: see `ways`; `changes`: further arguments of the agent."""
        with ExitStack() as stack:
            self.workdir = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="podagent-test-")))
            self.api = stack.enter_context(ApiServer())
            self.node = Node(self.api, runtime)
            self.networks, self._of_eth0 = Networks(self.api), Networks(None)
            self.plugins = PluginDir(self.workdir / "cni-bin")
            stack.callback(self.plugins.close)
            self.kactus = self._kactus() if via == "kactus" else None
            known: dict[str, Any] = {"kubeconfig": self._kubeconfig(), "cni_bin_path": self.plugins.path}
            known |= runtime.of_agent() | (self.kactus.of_agent() if self.kactus else {})
            self.agent = stack.enter_context(Agent(self.workdir / "agent", **(known | changes)))
            self._before = HostState.now(runtime)
            self._parts = stack.pop_all()

    def settles(self, wanted: Wanted, timeout: float = 15.0) -> None:
        settles(wanted, self.networks.made, self.agent, timeout)

    def attached(self, *networks: Network) -> Pod:
        """A pod, the only one, that has these networks."""
        (pod,) = self.all_attached(1, *networks)
        return pod

    def all_attached(self, count: int, *networks: Network) -> list[Pod]:
        """So many pods, the only ones, that have these networks."""
        pods = self.node.many(count, networks=[network.name for network in networks])
        self.settles(dict.fromkeys(pods, networks))
        return pods

    @contextmanager
    def lent(self) -> Iterator[None]:
        """To a test, after which nothing of it may be left and the agent runs again; else the bed is closed."""
        try:
            yield
            self._tidy()
        except BaseException:
            self.close()
            raise
        finally:
            print(f"--- log of the agent\n{self.agent.log()}")
        self.agent.empty_log()

    def close(self) -> None:
        with self._parts:
            self.node.remove_all()
            self.networks.remove_all()
            self._of_eth0.remove_all()

    def _tidy(self) -> None:
        self.api.heal()
        for plugin in self.plugins.real.iterdir():
            self.plugins.restore(plugin.name)
        self.node.remove_all()
        assert not self.agent.ended_by_itself, "the agent crashed"
        if not self.agent.running:
            self.agent.start()
        self.settles({}, 20)
        assert not self.plugins.processes(), "plugins still run"
        self.plugins.forget_calls()
        self.networks.remove_all()
        if self.kactus:
            self._of_eth0.remove_all()
            self.kactus = self._kactus()
        wait_as_before(self._before, lambda: HostState.now(self.node.runtime))

    def _kactus(self) -> NodeKactus:
        """Installed with a network for eth0 that has neither bridge nor leases yet."""
        eth0 = self._of_eth0.bridge()
        return NodeKactus.install(self.plugins.path, self.workdir / "node", self._kubeconfig(), eth0)

    def _kubeconfig(self) -> Path:
        return self.api.write_kubeconfig(self.workdir / "kubeconfig")
