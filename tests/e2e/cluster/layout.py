"""Where everything of the cluster is: files below its state directory, ports on loopback, interfaces of the host."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[3]
# Where only root can have prepared anything; and short, since unix sockets lie below it.
STATE_DIR = Path("/var/lib/podagent-cluster")
LOCK = Path("/run/podagent-cluster.lock")
"""Held by whoever brings a cluster up or down, or runs the suite on it."""
MACHINES = Path("/var/cache/podagent-cluster")
"""Of the machines apart that the suite is played on; not below a folder of which they have a copy."""
KUBERNETES = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "podagent-kubernetes" / "1.20"

# The kubelet registers this name, and the API server reaches the kubelet by it: the only one that every machine
# resolves to loopback without an entry in /etc/hosts.
NODE_NAME = "localhost"

API_PORT = 16443
ETCD_PORT = 12379
ETCD_PEER_PORT = 12380
KUBELET_PORT = 16250
KUBELET_HEALTH_PORT = 16248
PORTS = (API_PORT, ETCD_PORT, ETCD_PEER_PORT, KUBELET_PORT, KUBELET_HEALTH_PORT)

API_URL = f"https://127.0.0.1:{API_PORT}"
ETCD_URL = f"http://127.0.0.1:{ETCD_PORT}"

NODE_BRIDGE = "podagent-node"
"""Carries the address that the kubelet reports as the node's: it refuses one of loopback. Nothing listens there."""
NODE_IP = "198.51.100.1"
POD_BRIDGE = "podagent-pods"
POD_NETWORK = "podagent-e2e-default"
POD_SUBNET = "10.213.0.0/22"
"""Of the pods' default interfaces: a bridge without a gateway, so that nothing of it leaves the machine."""
SERVICE_SUBNET = "10.96.0.0/24"

IMAGE = "alpine:latest"
"""Of every container, that of the sandbox included: there is no registry to take others from."""
PAUSE = ("/bin/sh", "-c", "trap 'exit 0' TERM; while :; do sleep 2147483 & wait; done")
"""What it runs by default: as the real pause it waits, and ends when it is told to."""


@dataclass(frozen=True)
class Layout:
    """The files of one cluster."""

    state: Path = STATE_DIR

    @property
    def mark(self) -> dict[str, str]:
        """In the environment of every process of the cluster: by that it is found again."""
        return {"CLUSTER_STATE_DIR": str(self.state)}

    @property
    def is_used(self) -> bool:
        """Whether a cluster is up, or has left something."""
        return self.state.is_dir() and any(self.state.iterdir())

    @property
    def cgroup(self) -> str:
        """Parent of the containers' cgroups; those are the whole machine's, hence another in each PID namespace."""
        return f"podagent-cluster-{Path('/proc/self/ns/pid').stat().st_ino}"

    @property
    def pki(self) -> Path:
        return self.state / "pki"

    @property
    def logs(self) -> Path:
        return self.state / "log"

    @property
    def cni_bin(self) -> Path:
        return self.state / "cni-bin"

    @property
    def cni_conf(self) -> Path:
        return self.state / "net.d"

    @property
    def kactus(self) -> Path:
        """Where kactus keeps what it attached."""
        return self.state / "kactus"

    @property
    def manifests(self) -> Path:
        """The kubelet's folder of static pods."""
        return self.state / "manifests"

    @property
    def kubelet(self) -> Path:
        return self.state / "kubelet"

    @property
    def docker(self) -> Path:
        return self.state / "docker"

    @property
    def agent(self) -> Path:
        return self.state / "agent"

    @property
    def host_before(self) -> Path:
        """What the host was like before the cluster came up."""
        return self.state / "host-before.json"

    @property
    def host_settings(self) -> Path:
        """The kernel parameters of the host when the cluster had come up."""
        return self.state / "host-settings.json"

    def kubeconfig(self, user: str) -> Path:
        """Of ``admin``, or of the components ``kubelet``, ``controller-manager`` and ``scheduler``."""
        return self.state / f"{user}.kubeconfig"

    @property
    def agent_kubeconfig(self) -> Path:
        """As create-kubeconfig.sh writes it: the service account's, with its few rights."""
        return self.state / "kubeconfig" / "podagent-kubeconfig.yaml"
