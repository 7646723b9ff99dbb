"""The node: its kubelet, which drives Docker or containerd, and its CNI configuration, kactus or a plain bridge."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from pathlib import Path
from typing import Any, NamedTuple

from e2e.cluster import layout
from e2e.cluster.apart import cgroup
from e2e.cluster.daemons import Daemon
from lab.containerd import PrivateContainerd
from lab.dockerd import PrivateDockerd
from lab.kactus import install
from lab.networks import plugin_dir
from lab.podruntime import PodRuntime
from lab.waiting import eventually

_START_SECONDS = 60.0
_HEALTH_PORT = 16248
# Carries the address that the kubelet reports as the node's: it refuses one of loopback. Nothing listens there.
_ADDRESS = "198.51.100.1"
# Of the pods' default interfaces. No gateway and no masquerading: those would change forwarding and the packet filter.
_POD_BRIDGE: dict[str, Any] = {
    "type": "bridge", "bridge": layout.POD_BRIDGE, "isGateway": False, "ipMasq": False,
    "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.213.0.0/22"}]]},
}  # fmt: skip


class Kind(NamedTuple):
    """What differs between nodes."""

    system_plugin: str
    runtime: str


KINDS = {
    "kactus": Kind("kactus", "docker"),
    "bridge": Kind("bridge", "docker"),
    "containerd": Kind("bridge", "containerd"),
}


def configure(system_plugin: str) -> None:
    """Makes the node's plugin directory, with our kactus in it, its first, and only, configuration, and its address."""
    layout.CNI_BIN.mkdir()
    for plugin in plugin_dir().iterdir():
        if plugin.name != "kactus":
            (layout.CNI_BIN / plugin.name).symlink_to(plugin)
    install(layout.CNI_BIN)
    layout.CNI_CONF.mkdir(exist_ok=True)
    if system_plugin == "kactus":
        conf = json.loads((layout.PROJECT / "etc/cni/net.d/05-kactus.conf").read_text())
        [master] = conf["delegates"]
        conf |= {"name": layout.POD_NETWORK, "kubeconfig": str(layout.AGENT_KUBECONFIG), "cniDir": str(layout.KACTUS)}
        conf["delegates"] = [master | _POD_BRIDGE | {"masterPlugin": True}]
        (layout.CNI_CONF / "05-kactus.conf").write_text(json.dumps(conf))
    else:
        conf = {"cniVersion": "0.4.0", "name": layout.POD_NETWORK, "plugins": [_POD_BRIDGE]}
        (layout.CNI_CONF / "10-bridge.conflist").write_text(json.dumps(conf))
    bridge = layout.NODE_BRIDGE
    for change in (f"link add {bridge} up type bridge", f"addr add {_ADDRESS}/32 dev {bridge}"):
        subprocess.run(["ip", *change.split()], check=True, capture_output=True, timeout=30)


class Kubelet(Daemon):
    """All that it keeps is below the state directory."""

    def __init__(self, runtime: PrivateDockerd | PrivateContainerd) -> None:
        root = layout.STATE / "kubelet"
        flags: dict[str, object] = {
            "config": f"{root}.json", "kubeconfig": layout.kubeconfig("kubelet"), "node-ip": _ADDRESS,
            "hostname-override": layout.NODE_NAME, "root-dir": root, "cert-dir": root / "pki",
            "volume-plugin-dir": root / "volumes", "seccomp-profile-root": root / "seccomp", "v": 2,
            # So that its collection of garbage, once a minute and when it starts, removes what has ended.
            "maximum-dead-containers-per-container": 0,
        }  # fmt: skip
        flags |= _of_dockershim(root, runtime) if runtime.name == "docker" else _of_remote(runtime)
        argv = [str(layout.KUBERNETES / "kubelet"), *(f"--{flag}={value}" for flag, value in flags.items())]
        logging = {"_CNI_LOGGING_LEVEL": "debug", "_CNI_LOGGING_FILE": str(layout.LOGS / "kactus-of-kubelet.log")}
        super().__init__("kubelet", argv, logging)
        layout.MANIFESTS.mkdir()
        root.with_suffix(".json").write_text(json.dumps(_config(runtime.cgroup_driver())))

    def start(self) -> None:
        """Waits until it answers."""
        super().start()
        eventually(self._is_healthy, _START_SECONDS, "the kubelet to be healthy")

    def _is_healthy(self) -> bool:
        self.assert_running()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{_HEALTH_PORT}/healthz", timeout=5) as answer:
                return bool(answer.read() == b"ok")
        except OSError:
            return False


def _of_dockershim(root: Path, runtime: PodRuntime) -> dict[str, object]:
    return {
        "network-plugin": "cni", "cni-bin-dir": layout.CNI_BIN, "cni-conf-dir": layout.CNI_CONF,
        "cni-cache-dir": root / "cni-cache", "pod-infra-container-image": layout.IMAGE,
        "docker-endpoint": runtime.endpoint, "container-runtime-endpoint": f"unix://{root}/dockershim.sock",
        "experimental-dockershim-root-directory": root / "dockershim",
    }  # fmt: skip


def _of_remote(runtime: PodRuntime) -> dict[str, object]:
    # The cgroup is that of the pods, which dockerd has as an argument of its own.
    return {
        "container-runtime": "remote", "container-runtime-endpoint": runtime.endpoint, "cgroup-root": f"/{cgroup()}",
    }  # fmt: skip


def _config(cgroup_driver: str) -> dict[str, object]:
    authentication = {
        "anonymous": {"enabled": False}, "webhook": {"enabled": False},
        "x509": {"clientCAFile": f"{layout.PKI}/ca.crt"},
    }  # fmt: skip
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
        "authentication": authentication, "authorization": {"mode": "AlwaysAllow"},
        "address": "127.0.0.1", "port": 16250, "readOnlyPort": 0, "healthzPort": _HEALTH_PORT,
        "staticPodPath": str(layout.MANIFESTS), "fileCheckFrequency": "1s", "syncFrequency": "10s",
        "cgroupDriver": cgroup_driver, "cgroupsPerQOS": False, "enforceNodeAllocatable": [],
        "failSwapOn": False, "makeIPTablesUtilChains": False,
        "oomScoreAdj": 0,  # root of a sandbox may not lower the score
        "evictionHard": {f"{kind}.available": "1Mi" for kind in ("memory", "nodefs", "imagefs")},
        "imageGCHighThresholdPercent": 100, "maxPods": 250, "kubeAPIQPS": 100, "kubeAPIBurst": 200,
        "registryPullQPS": 0, "eventRecordQPS": 50,
    }  # fmt: skip
