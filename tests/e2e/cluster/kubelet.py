"""The kubelet, driving Docker and the node's CNI plugin."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path

from e2e.cluster.daemons import Daemon
from e2e.cluster.layout import IMAGE, KUBELET_HEALTH_PORT, KUBELET_PORT, NODE_IP, NODE_NAME, Layout
from lab.waiting import eventually

_START_SECONDS = 60.0


def make_kubelet(layout: Layout, binaries: Path, docker_endpoint: str, cgroup_driver: str) -> Daemon:
    """The kubelet of this node, not yet started; everything it keeps is below the state directory."""
    layout.manifests.mkdir(exist_ok=True)
    config = layout.state / "kubelet.json"
    config.write_text(json.dumps(_config(layout, cgroup_driver), indent=1))
    flags = {
        "config": config, "kubeconfig": layout.kubeconfig("kubelet"), "hostname-override": NODE_NAME,
        "node-ip": NODE_IP, "network-plugin": "cni", "cni-bin-dir": layout.cni_bin, "cni-conf-dir": layout.cni_conf,
        "cni-cache-dir": layout.kubelet / "cni-cache", "pod-infra-container-image": IMAGE,
        "docker-endpoint": docker_endpoint,
        "container-runtime-endpoint": f"unix://{layout.kubelet}/dockershim.sock",
        "experimental-dockershim-root-directory": layout.kubelet / "dockershim",
        "root-dir": layout.kubelet, "cert-dir": layout.kubelet / "pki", "volume-plugin-dir": layout.kubelet / "volumes",
        "seccomp-profile-root": layout.kubelet / "seccomp", "v": 2,
    }  # fmt: skip
    argv = [str(binaries / "kubelet"), *(f"--{flag}={value}" for flag, value in flags.items())]
    logging = {"_CNI_LOGGING_LEVEL": "debug", "_CNI_LOGGING_FILE": str(layout.logs / "kactus-of-kubelet.log")}
    return Daemon("kubelet", argv, layout, logging)


def wait_healthy(kubelet: Daemon) -> None:
    """Waits until it answers."""

    def healthy() -> bool:
        kubelet.assert_running()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{KUBELET_HEALTH_PORT}/healthz", timeout=5) as answer:
                return bool(answer.read() == b"ok")
        except OSError:
            return False

    eventually(healthy, _START_SECONDS, "the kubelet to be healthy")


def _config(layout: Layout, cgroup_driver: str) -> dict[str, object]:
    little = {"memory.available": "1Mi", "nodefs.available": "1Mi", "imagefs.available": "1Mi"}
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": False},
            "x509": {"clientCAFile": f"{layout.pki}/ca.crt"},
        },
        "authorization": {"mode": "AlwaysAllow"},
        "address": "127.0.0.1",
        "port": KUBELET_PORT,
        "readOnlyPort": 0,
        "healthzPort": KUBELET_HEALTH_PORT,
        "staticPodPath": str(layout.manifests),
        "fileCheckFrequency": "1s",
        "syncFrequency": "10s",
        "cgroupDriver": cgroup_driver,
        "cgroupsPerQOS": False,
        "enforceNodeAllocatable": [],
        "failSwapOn": False,
        "makeIPTablesUtilChains": False,
        # Root of a sandbox may not lower the score.
        "oomScoreAdj": 0,
        "evictionHard": little,
        "imageGCHighThresholdPercent": 100,
        "maxPods": 250,
        "kubeAPIQPS": 100,
        "kubeAPIBurst": 200,
        "registryPullQPS": 0,
        "eventRecordQPS": 50,
    }
