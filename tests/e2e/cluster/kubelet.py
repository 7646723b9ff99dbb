"""The kubelet, driving Docker and the node's CNI plugin."""

from __future__ import annotations

import json
import urllib.request

from e2e.cluster.daemons import Daemon
from e2e.cluster.layout import (
    CNI_BIN,
    CNI_CONF,
    IMAGE,
    KUBELET,
    KUBELET_HEALTH_PORT,
    KUBELET_PORT,
    KUBERNETES,
    LOGS,
    MANIFESTS,
    NODE_IP,
    NODE_NAME,
    PKI,
    kubeconfig,
)
from lab.runtime import Runtime
from lab.waiting import eventually

_START_SECONDS = 60.0


class Kubelet(Daemon):
    """All that it keeps is below the state directory."""

    def __init__(self, runtime: Runtime) -> None:
        flags = {
            "config": f"{KUBELET}.json", "kubeconfig": kubeconfig("kubelet"), "hostname-override": NODE_NAME,
            "node-ip": NODE_IP, "network-plugin": "cni", "cni-bin-dir": CNI_BIN, "cni-conf-dir": CNI_CONF,
            "cni-cache-dir": KUBELET / "cni-cache", "pod-infra-container-image": IMAGE,
            "docker-endpoint": runtime.endpoint, "container-runtime-endpoint": f"unix://{KUBELET}/dockershim.sock",
            "experimental-dockershim-root-directory": KUBELET / "dockershim", "root-dir": KUBELET,
            "cert-dir": KUBELET / "pki", "volume-plugin-dir": KUBELET / "volumes",
            "seccomp-profile-root": KUBELET / "seccomp", "v": 2,
            # So that its collection of garbage, once a minute and when it starts, removes what has ended.
            "maximum-dead-containers-per-container": 0,
        }  # fmt: skip
        argv = [str(KUBERNETES / "kubelet"), *(f"--{flag}={value}" for flag, value in flags.items())]
        logging = {"_CNI_LOGGING_LEVEL": "debug", "_CNI_LOGGING_FILE": str(LOGS / "kactus-of-kubelet.log")}
        super().__init__("kubelet", argv, logging)
        MANIFESTS.mkdir()
        KUBELET.with_suffix(".json").write_text(json.dumps(_config(runtime.cgroup_driver())))

    def start(self) -> None:
        """Waits until it answers."""
        super().start()
        eventually(self._is_healthy, _START_SECONDS, "the kubelet to be healthy")

    def _is_healthy(self) -> bool:
        self.assert_running()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{KUBELET_HEALTH_PORT}/healthz", timeout=5) as answer:
                return bool(answer.read() == b"ok")
        except OSError:
            return False


def _config(cgroup_driver: str) -> dict[str, object]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": False},
            "x509": {"clientCAFile": f"{PKI}/ca.crt"},
        },
        "authorization": {"mode": "AlwaysAllow"},
        "address": "127.0.0.1",
        "port": KUBELET_PORT,
        "readOnlyPort": 0,
        "healthzPort": KUBELET_HEALTH_PORT,
        "staticPodPath": str(MANIFESTS),
        "fileCheckFrequency": "1s",
        "syncFrequency": "2s",
        "cgroupDriver": cgroup_driver,
        "cgroupsPerQOS": False,
        "enforceNodeAllocatable": [],
        "failSwapOn": False,
        "makeIPTablesUtilChains": False,
        # Root of a sandbox may not lower the score.
        "oomScoreAdj": 0,
        "evictionHard": {f"{kind}.available": "1Mi" for kind in ("memory", "nodefs", "imagefs")},
        "imageGCHighThresholdPercent": 100,
        "maxPods": 250,
        "kubeAPIQPS": 100,
        "kubeAPIBurst": 200,
        "registryPullQPS": 0,
        "eventRecordQPS": 50,
    }
