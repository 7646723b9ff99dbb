"""The agent's parts, without API server and Docker, at work on one pod in a real network namespace.

What takes a process of the agent a second, the delay before a retry, takes no time here.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from functional.expectations import ifname
from lab.failing import Calls
from lab.leases import lease_dir
from lab.mounts import mounts_below
from lab.networks import Networks, definition, plugin_dir
from lab.waiting import eventually
from podagent.act.executor import Executor
from podagent.act.outcomes import Outcome, Outcomes, PodState, Result
from podagent.act.reconciler import Reconciler
from podagent.act.slowlane import SlowLane
from podagent.act.undoing import Undoing
from podagent.cni.conf import SystemConf
from podagent.cni.evidence import AttachmentEvidence
from podagent.cni.runtime import CniRuntime
from podagent.decide.attempts import Attempts
from podagent.errors import PodagentError, StoreError
from podagent.foreign import Json
from podagent.host import hostends
from podagent.host.claims import LinkClaims
from podagent.host.links import host_macs
from podagent.host.netns import NetworkNamespaces, boot_id, identify
from podagent.host.orphans import await_orphans
from podagent.host.pins import Pin, Pins
from podagent.model import DefinitionRef, Phase, Pod, PodKey, Record
from podagent.resolve.delegate import DelegateNetworks
from podagent.resolve.macs import MacRule
from podagent.resolve.networks import ChosenNetworks
from podagent.resolve.node import NodePlugin
from podagent.resolve.policy import DefinitionPolicy
from podagent.resolve.rules import OWN_NAMESPACE, Rules
from podagent.resolve.system import SystemNetworks
from podagent.runtimes.docker import DockerRuntime
from podagent.state.directory import StateDirectory
from podagent.state.store import Store

POD = PodKey("shop", "web", "0f0b5bd8-62a4-4d9e-b1a3-5d3b63e9a0de")
MAC = "02:00:00:00:0e:01"
FOREIGN = "eth7"
_LOOKS = 12


class Node:
    """One pod, one network of its namespace, and one interface that the agent did not make.

    Attributes:
        errors: of the failures that were reported since the last `settle`.
        wrong: what must never happen, and did.
    """

    api_version = "1.41"

    def __init__(self, directory: Path, calls: Calls) -> None:
        self._directory, self._calls = directory, calls
        self.now = 0.0
        self.networks = Networks(None)
        self.network = self.networks.bridge(namespace=POD.namespace, capabilities={"mac": True})
        self.ifname = ifname(self.network)
        self.errors: list[Exception | None] = []
        self.wrong: list[str] = []
        self._pod: Pod | None = None
        self._lives = 0
        self._sandbox: subprocess.Popen[bytes] | None = None
        self._state, self._conf_dir = directory / "state", directory / "net.d"
        self._pins = Pins(directory / "netns")
        self._conf_dir.mkdir()
        for name, plugin in (("10-node", "ptp"), ("20-other", "kactus")):
            conf = {"cniVersion": "0.4.0", "name": name, "type": plugin}
            (self._conf_dir / f"{name}.conf").write_text(json.dumps(conf))
        self.start_agent()
        self.start_sandbox()

    def close(self) -> None:
        self.end_sandbox()
        self.networks.remove_all()
        self._pins.keep_only([])

    # --- what happens on the node

    def start_sandbox(self) -> None:
        own = Path("/proc/self/ns/net").stat().st_ino
        self._sandbox = subprocess.Popen(["unshare", "-n", "sleep", "600"], stdin=subprocess.DEVNULL)
        eventually(lambda: Path(f"/proc/{self.pid}/ns/net").stat().st_ino != own, what="a network namespace")
        enter = ["nsenter", "-t", str(self.pid), "-n"]
        subprocess.run([*enter, "ip", "link", "add", FOREIGN, "type", "bridge"], check=True)

    def end_sandbox(self) -> None:
        if self._sandbox:
            self._sandbox.kill()
            self._sandbox.wait()
        self._sandbox = None

    def delete_pod(self) -> None:
        self._pod = None

    def want(self, *networks: str, mac: str = MAC) -> None:
        wanted = ",".join(f'{{"name": "{network}", "ifMac": "{mac}"}}' for network in networks)
        self._pod = Pod(POD, POD.uid, {"networks": f"[{wanted}]"}, "Running")

    def delete_link(self) -> None:
        subprocess.run(["nsenter", "-t", str(self.pid), "-n", "ip", "link", "del", self.ifname], check=True)

    def delete_bridge(self) -> None:
        subprocess.run(["ip", "link", "del", self.network.bridge], check=False, capture_output=True)

    def want_mac_of_bridge(self) -> None:
        taken = "02:00:00:00:0e:99"
        subprocess.run(["ip", "link", "set", self.network.bridge, "address", taken], check=True)
        self.want(self.network.name, mac=taken)

    def lose_record(self) -> None:
        with self._calls.ignored():
            (record,) = self.store.all()
            self.store.remove(record)

    def crash_in_add(self) -> None:
        """The agent dies between ADD and the write of its success."""
        with self._calls.ignored():
            (record,) = self.store.all()
            self.store.put(record._replace(phase=Phase.ATTACHING, result=None, ifindex=0))
        self.start_agent()

    @contextmanager
    def orphan(self) -> Iterator[subprocess.Popen[bytes]]:
        """A plugin of the former agent that still runs on the attachment."""
        (record,) = self.store.all()
        env = {"CNI_COMMAND": "ADD", "CNI_CONTAINERID": record.sandbox_id, "CNI_IFNAME": self.ifname}
        with subprocess.Popen(["/bin/sleep", "600"], env=env, stdout=subprocess.PIPE) as running:
            try:
                yield running
            finally:
                running.kill()

    def reset(self) -> None:
        """A new pod on a node where nothing is left of the one before."""
        self._calls.clear()
        self.delete_pod()
        self.end_sandbox()
        self.delete_bridge()
        shutil.rmtree(lease_dir(self.network.cni_name), ignore_errors=True)
        for record in self.store.all():
            self.store.remove(record)
        self.start_agent()

    # --- the agent

    def start_agent(self) -> None:
        """A new process of the agent, with what the one before left on disk. One that ends at once is started again."""
        try:
            self._start_agent()
        except (OSError, StoreError):
            self._start_agent()

    def _start_agent(self) -> None:
        former, self._lives = self._state, self._lives + 1
        self._state = self._directory / f"state-{self._lives}"  # this process still has the lock of the former
        if former.exists():
            shutil.copytree(former, self._state)
            shutil.rmtree(former)
        self.store = Store(StateDirectory(self._state, self._directory / "locks"))
        self.store.load()
        self._pins.keep_only({Pin(record.sandbox_id, record.netns.inode) for record in self.store.all()})
        bins, claims = (str(plugin_dir()),), LinkClaims(str(self._directory / "links"))
        node_plugin = NodePlugin("auto", SystemConf(lambda: [str(self._conf_dir)]).current)
        policy = DefinitionPolicy(Rules(frozenset()), node_plugin.plugin_types, claims, self.store.definitions_in_use)
        macs = MacRule(OWN_NAMESPACE, tuple, host_macs)
        delegate = DelegateNetworks(self._definition, lambda: bins, (), policy, macs)
        cni = CniRuntime(30, os.environ, lambda *_: None)
        lane = SlowLane(1, self._clock)
        evidence = AttachmentEvidence(cni, node_plugin.netconf)
        namespaces, boot = NetworkNamespaces(self._pins), boot_id()
        undoing = Undoing(namespaces, hostends, cni, self, _await_orphans_briefly, boot, 30)
        executor = Executor(namespaces, hostends, cni, self, evidence, undoing, boot, lane, 30)
        outcomes = Outcomes(Attempts(self._clock, random.Random(1)), [self], self._clock)
        runtime = DockerRuntime("unix:///nowhere", identify, connect=lambda **_: self)
        networks = ChosenNetworks(
            node_plugin, SystemNetworks(lambda: bins, ""), delegate, evidence.has_attached, lambda: bins
        )
        self._reconciler = Reconciler(self, self, runtime, networks, executor, outcomes, (), clock=self._clock)

    def look(self, *, verify: bool = False) -> float | None:
        try:
            return self._reconciler.reconcile(POD, verify=verify)
        except Exception as error:
            self.wrong.append(f"internal error: {error!r}")
            return 60.0

    def settle(self, *, verify: bool = False) -> None:
        """The agent looks until it is done."""
        if self.look_often(_LOOKS, verify=verify) is not None:
            self.wrong.append(f"not done after {_LOOKS} looks: {self.errors}")

    def look_often(self, times: int, *, verify: bool = False) -> float | None:
        """The agent looks as often, or until it is done. Returns the seconds until the next look, None if done."""
        self.errors.clear()
        wait: float | None = 0.0
        for _ in range(times):
            if wait is not None:
                self.now += wait
                wait = self.look(verify=verify)
        return wait

    # --- what is seen

    @property
    def pid(self) -> int:
        return self._sandbox.pid if self._sandbox else 0

    @property
    def has_link(self) -> bool:
        return self.ifname in self._links()

    @property
    def has_lease(self) -> bool:
        return bool(self.network.leases())

    def state(self) -> tuple[bool, bool, list[str]]:
        """Link, lease, records by phase."""
        with self._calls.ignored():
            if self._sandbox and FOREIGN not in self._links():
                self.wrong.append("a foreign interface was deleted")
            return self.has_link, self.has_lease, [record.phase.value for record in self.store.all()]

    def keeps_a_namespace(self) -> bool:
        """Whether one is kept after the next start of the agent, which makes good for a call that failed."""
        if mounts_below(self._directory):
            self.start_agent()
        return bool(mounts_below(self._directory))

    def _links(self) -> list[str]:
        lines = Path(f"/proc/{self.pid}/net/dev").read_text().splitlines() if self.pid else []
        return [line.partition(":")[0].strip() for line in lines]

    # --- the ports that are not real, and the store, watched

    def get(self, key: PodKey) -> Pod | None:
        return self._pod

    def confirm_gone(self, key: PodKey) -> None:
        pass

    def of(self, pod: PodKey) -> list[Record]:
        return self.store.of(pod)

    def next_sequence(self) -> int:
        return self.store.next_sequence()

    def put(self, record: Record) -> None:
        self.store.put(record)

    def keep(self, record: Record) -> None:
        self.store.keep(record)

    def remove(self, record: Record) -> None:
        self.store.remove(record)
        link, lease, _ = self.state()
        if link or lease:
            self.wrong.append(f"the record is gone, and there is still {'link ' * link}{'lease' * lease}")

    def report(self, outcome: Outcome) -> None:
        if outcome.result in (Result.FAILED, Result.WAITING):
            self.errors.append(outcome.error)
            if not isinstance(outcome.error, PodagentError):
                self.wrong.append(f"internal error: {outcome.error!r}")

    def settled(self, key: PodKey, state: PodState) -> None:
        pass

    def containers(self, **_: Any) -> list[Json]:
        labels = {f"io.kubernetes.{key}": value for key, value in (("pod.uid", POD.uid), ("docker.type", "podsandbox"))}
        usual = {"State": "running", "Created": 1, "HostConfig": {"NetworkMode": "none"}, "Labels": labels}
        return [{"Id": f"{self.networks.made[0].bridge}-{self.pid}", **usual}] if self.pid else []

    def inspect_container(self, name: str) -> Json:
        return {"State": {"Pid": self.pid}}

    def _definition(self, wanted: DefinitionRef, since: float) -> Json | None:
        return definition(self.network.name, POD.namespace, "bridge", self.network.config)

    def _clock(self) -> float:
        return self.now


def _await_orphans_briefly(sandbox: str, ifname: str, _: float) -> bool:
    return await_orphans(sandbox, ifname, 0.01)
