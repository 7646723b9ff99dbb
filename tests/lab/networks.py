"""Network definitions for the real plugins, each with a bridge, a subnet and a lease directory of its own."""

from __future__ import annotations

import itertools
import json
import random
import shutil
import subprocess
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from lab.leases import Lease, lease_dir, leases
from lab.session import BRIDGE_PREFIX, LEASES_PREFIX

Json = dict[str, Any]
TRUSTED = ("default", "commons")
"""Namespaces whose definitions the agents of tests trust."""
FAULTY: dict[str, tuple[str, Json]] = {
    "an option of the wrong type": ("bridge", {"mtu": "1500"}),
    "a bad subnet": ("bridge", {"ipam": {"type": "host-local", "subnet": "10.9.0.0/99"}}),
    "an unknown IPAM plugin": ("bridge", {"ipam": {"type": "no-such-ipam"}}),
    "a missing master": ("macvlan", {"master": "plnowhere"}),
}
"""Plugins and configurations with which ADD and every DEL fail."""

# 198.18.0.0/15 is set aside for measurements: no route of the host leads there.
_SUBNETS = (f"198.{18 + number // 256 % 2}.{number % 256}" for number in itertools.count(random.randrange(512)))


@dataclass
class Network:
    """One network definition.

    Attributes:
        name: of the definition, as an annotation names it.
        cni_name: of the CNI network, unique, as the agent calls it; its leases are kept under it.
        subnet: the first three numbers of the /24.
    """

    name: str
    namespace: str
    cni_name: str
    bridge: str
    subnet: str
    config: Json = field(default_factory=dict)

    def leases(self) -> list[Lease]:
        return leases(self.cni_name)

    def holds(self, address: str) -> bool:
        """Whether the address (CIDR) is of this network's subnet."""
        return address.startswith(f"{self.subnet}.") and address.endswith("/24")


class Definitions(Protocol):
    """Where the objects of network definitions are: the API stand-in, or a real API server."""

    def create(self, obj: Json) -> Any: ...

    def exists(self, resource: str, namespace: str, name: str) -> bool: ...

    def delete(self, resource: str, namespace: str, name: str) -> Any: ...


class Networks:
    """Makes networks, and removes definitions, bridges and lease directories at the end."""

    def __init__(self, api: Definitions | None) -> None:
        """Without `api` no definition objects are made: the configurations are for running plugins by hand."""
        self._api = api
        self.made: list[Network] = []

    def bridge(
        self, name: str = "", namespace: str = "default", *, tuning: bool = False, then: Json | None = None,
        cni_version: str = "0.4.0", **extra: Any,
    ) -> Network:  # fmt: skip
        """A network of the bridge plugin with addresses by host-local.

        `tuning`: a chain with the tuning plugin, which declares the mac capability. `then`: a chain with this plugin.
        `extra` goes into the bridge's configuration.
        """
        network = self._named(name, namespace)
        ipam = {"type": "host-local", "ranges": [[{"subnet": f"{network.subnet}.0/24"}]]}
        bridge = {"type": "bridge", "bridge": network.bridge, "ipam": ipam} | extra
        then = {"type": "tuning", "capabilities": {"mac": True}} if tuning else then
        plugins = {"plugins": [bridge, then]} if then else bridge
        network.config |= {"cniVersion": cni_version, "name": network.cni_name} | plugins
        return self._define(network, "bridge")

    def custom(self, plugin: str, config: Json, namespace: str = "default") -> Network:
        """A network with that configuration; ``name``, ``cniVersion`` and a ``bridge`` are added if absent."""
        network = self._named("", namespace)
        usual = {"cniVersion": "0.4.0", "name": network.cni_name, "type": plugin}
        network.config |= usual | ({"bridge": network.bridge} if plugin == "bridge" else {}) | config
        network.cni_name = network.config["name"]
        return self._define(network, plugin)

    def undefine(self, network: Network) -> None:
        """Deletes the definition object only."""
        if self._api and self._api.exists("networks", network.namespace, network.name):
            self._api.delete("networks", network.namespace, network.name)

    def remove_all(self) -> None:
        for network in self.made:
            self.undefine(network)
            subprocess.run(["ip", "link", "del", network.bridge], check=False, capture_output=True, timeout=30)
            shutil.rmtree(lease_dir(network.cni_name), ignore_errors=True)
        self.made.clear()

    def _named(self, name: str, namespace: str) -> Network:
        token = uuid.uuid4().hex[:8]
        cni_name, bridge = f"{LEASES_PREFIX}{token}", f"{BRIDGE_PREFIX}{token}"
        self.made.append(Network(name or f"net-{token}", namespace, cni_name, bridge, next(_SUBNETS)))
        return self.made[-1]

    def _define(self, network: Network, plugin: str) -> Network:
        if self._api:
            self._api.create(definition(network.name, network.namespace, plugin, network.config))
        if network.namespace not in TRUSTED:
            network.cni_name = f"{network.namespace}.{network.cni_name}"
        return network


def definition(name: str, namespace: str, plugin: str, config: Json | str) -> Json:
    """A ``networks.kaloom.com`` object. `config` as text goes in as it is, well-formed or not."""
    text = config if isinstance(config, str) else json.dumps(config)
    metadata = {"name": name, "namespace": namespace}
    spec = {"plugin": plugin, "config": text}
    return {"apiVersion": "kaloom.com/v1", "kind": "Network", "metadata": metadata, "spec": spec}


def plugin_dir() -> Path:
    """Where the reference CNI plugins are installed. RuntimeError when they are not."""
    for directory in (Path("/opt/cni/bin"), Path("/usr/lib/cni"), Path("/usr/libexec/cni")):
        if all((directory / name).is_file() for name in ("bridge", "host-local", "tuning")):
            return directory
    raise RuntimeError("the CNI plugins are not installed: install the package containernetworking-plugins")
