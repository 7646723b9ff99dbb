"""Pod sandboxes without containers: a network namespace, a container ID, perhaps a pod object, and calls for them."""

from __future__ import annotations

import json
import subprocess
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from functional.expectations import ifname
from lab.apiserver import ApiServer
from lab.kactus import Answer, Kactus, Running, agent_args, kubelet_args
from lab.links import Links, links_of
from lab.networks import Network, Networks
from lab.session import MARK

Json = dict[str, Any]

SANDBOX_PREFIX = f"sandbox-{MARK}-"


@dataclass
class Sandbox:
    """One pod's; every call goes to `kactus`."""

    kactus: Kactus
    networks: Networks
    pod: str = ""
    namespace: str = "default"
    id: str = field(default_factory=lambda: f"{SANDBOX_PREFIX}{uuid.uuid4().hex[:12]}")

    @property
    def netns(self) -> str:
        return f"/run/netns/{self.id}"

    def __post_init__(self) -> None:
        subprocess.run(["ip", "netns", "add", self.id], check=True, timeout=30)

    def destroy(self) -> None:
        """As when its last process has ended; again is no error."""
        subprocess.run(["ip", "netns", "del", self.id], check=False, capture_output=True, timeout=30)

    # --- as the kubelet calls -------------------------------------------------------------------------------------

    def start(self, **options: Any) -> Answer:
        """ADD of everything the pod wants."""
        return self.begin_start(**options).answer()

    def begin_start(self, **options: Any) -> Running:
        return self._begin("ADD", **options)

    def end(self, **options: Any) -> Answer:
        """DEL of everything."""
        return self.begin_end(**options).answer()

    def begin_end(self, **options: Any) -> Running:
        return self._begin("DEL", **options)

    def check(self, **options: Any) -> Answer:
        return self._begin("CHECK", **options).answer()

    # --- as the agent calls ---------------------------------------------------------------------------------------

    def attach(self, network: Network | str, mac: str = "", **options: Any) -> Answer:
        """ADD of one network."""
        return self.begin_attach(network, mac, **options).answer()

    def begin_attach(self, network: Network | str, mac: str = "", **options: Any) -> Running:
        return self._begin("ADD", network, mac, **options)

    def detach(self, network: Network | str, **options: Any) -> Answer:
        """DEL of one network."""
        return self.begin_detach(network, **options).answer()

    def begin_detach(self, network: Network | str, **options: Any) -> Running:
        return self._begin("DEL", network, **options)

    def _begin(self, command: str, network: Network | str = "", mac: str = "", **options: Any) -> Running:
        name = network if isinstance(network, str) else network.name
        usual = {"netns": self.netns, "args": kubelet_args(self.id, self.namespace, self.pod)}
        if name:
            args = agent_args(self.id, self.namespace, self.pod or "gone", name, mac)
            usual |= {"args": args, "ifname": ifname(name)}
        return self.kactus.start(command, self.id, **(usual | options))

    # --- what came of it ------------------------------------------------------------------------------------------

    def links(self) -> Links:
        """The interfaces in it but for lo; none when it was destroyed."""
        return {name: link for name, link in links_of(self.netns).items() if name != "lo"}

    def ip(self, *words: str) -> None:
        """Changes something in it by hand."""
        subprocess.run(["ip", "-n", self.id, *words], check=True, capture_output=True, timeout=30)

    @property
    def saved(self) -> list[Json] | None:
        return self.kactus.saved(self.id)

    def saved_names(self) -> list[str]:
        """The networks that are kept for it, in order; "default" for the master delegate."""
        return [str(each.get("networkName", "default")) for each in self.saved or []]

    def leases(self, *networks: Network) -> list[str]:
        """The interfaces for which it holds an address, in these networks or in all."""
        found = (lease for network in networks or self.networks.made for lease in network.leases())
        return sorted(lease.ifname for lease in found if lease.container_id == self.id)

    def assert_nothing_left(self) -> None:
        """No interface, lease, kept delegate or other file of this sandbox is there."""
        assert (self.links(), self.leases()) == ({}, [])
        assert [name for name in self.kactus.files() if self.id in name] == []

    def assert_ends_without_a_trace(self) -> None:
        if self.saved is not None:
            assert self.end(netns=self.netns if Path(self.netns).exists() else "") == Answer(0, {})
        self.assert_nothing_left()


def make_pod(api: ApiServer, name: str, networks: Any = None, namespace: str = "default") -> None:
    """A pod object; `networks`: the annotation as text, or a list to be written as JSON."""
    text = networks if isinstance(networks, str) or networks is None else json.dumps(networks)
    metadata = {"name": name, "namespace": namespace, "annotations": {} if text is None else {"networks": text}}
    api.create({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"nodeName": "lab-node"}})


SandboxFactory = Callable[..., Sandbox]
