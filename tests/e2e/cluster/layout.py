"""Where everything of the cluster is: files below its state directory, ports on loopback, interfaces of the node."""

from __future__ import annotations

import os
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[3]
KUBERNETES = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "podagent-kubernetes" / "1.20"

# Of the machine apart, so that there is one cluster on each; short, since unix sockets lie below it.
STATE = Path("/var/lib/podagent-cluster")
PKI = STATE / "pki"
LOGS = STATE / "log"
CNI_BIN = STATE / "cni-bin"
CNI_CONF = STATE / "net.d"
KACTUS = STATE / "kactus"
"""Where kactus keeps what it attached."""
MANIFESTS = STATE / "manifests"
"""The kubelet's folder of static pods."""
RUNTIME = STATE / "runtime"
"""Of dockerd or containerd."""
AGENT = STATE / "agent"
AGENT_KUBECONFIG = STATE / "kubeconfig" / "podagent-kubeconfig.yaml"
"""As create-kubeconfig.sh writes it: the service account's, with its few rights."""

# The kubelet registers this name, and the API server reaches the kubelet by it: the only one that every machine
# resolves to loopback without an entry in /etc/hosts.
NODE_NAME = "localhost"
NODE_BRIDGE = "podagent-node"
POD_BRIDGE = "podagent-pods"
POD_NETWORK = "podagent-e2e-default"
API_URL = "https://127.0.0.1:16443"
ETCD_URL = "http://127.0.0.1:12379"

IMAGE = "alpine:latest"
"""Of every container, that of the sandbox included: there is no registry to take others from."""
PAUSE = ("/bin/sh", "-c", "trap 'exit 0' TERM; while :; do sleep 2147483 & wait; done")
"""What it runs by default: as the real pause it waits, and ends on SIGTERM."""


def kubeconfig(user: str) -> Path:
    """Of ``admin``, or of the components ``kubelet``, ``controller-manager`` and ``scheduler``."""
    return STATE / f"{user}.kubeconfig"
