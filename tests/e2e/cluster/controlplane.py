"""etcd, API server, controller manager and scheduler, with the faults that tests ask for."""

from __future__ import annotations

import base64
import json
import subprocess
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from e2e.cluster.daemons import Daemon
from e2e.cluster.layout import API_PORT, ETCD_PEER_PORT, ETCD_URL, SERVICE_SUBNET, Layout
from lab.waiting import eventually

_START_SECONDS = 90.0
# Those that pods, deployments, evictions, namespaces and service accounts need; the others only cost time.
_CONTROLLERS = (
    "serviceaccount", "serviceaccount-token", "root-ca-cert-publisher", "deployment", "replicaset", "namespace",
    "garbagecollector", "nodelifecycle", "podgc", "disruption",
)  # fmt: skip


class ControlPlane:
    """The servers of the cluster, as processes of this machine."""

    def __init__(self, layout: Layout, binaries: Path) -> None:
        self._layout = layout
        self.etcd = Daemon("etcd", _etcd(layout), layout)
        self.apiserver = Daemon("kube-apiserver", [str(binaries / "kube-apiserver"), *_apiserver(layout)], layout)
        self.controllers = Daemon(
            "kube-controller-manager", [str(binaries / "kube-controller-manager"), *_controllers(layout)], layout
        )
        self.scheduler = Daemon("kube-scheduler", [str(binaries / "kube-scheduler"), *_scheduler(layout)], layout)

    @property
    def daemons(self) -> tuple[Daemon, ...]:
        return self.etcd, self.apiserver, self.controllers, self.scheduler

    def start(self) -> None:
        """Starts them, and waits until the API server is ready."""
        self.etcd.start()
        self.start_apiserver()
        self.controllers.start()
        self.scheduler.start()

    def start_apiserver(self) -> None:
        self.apiserver.start()
        self._wait_ready()

    def kill_apiserver(self) -> None:
        """As when the machine that it runs on dies; what it stored is kept."""
        self.apiserver.kill()

    def restart_apiserver(self) -> None:
        """Killed, and started again."""
        self.kill_apiserver()
        self.start_apiserver()

    def restart(self) -> None:
        """All of them, killed and started again."""
        for daemon in reversed(self.daemons):
            daemon.kill()
        self.start()

    def heal(self) -> None:
        """Starts again what has ended."""
        ended = [daemon for daemon in self.daemons if not daemon.running]
        for daemon in ended:
            daemon.start()
        if ended:
            self._wait_ready()

    def compact(self) -> int:
        """Has etcd forget every version but the newest one, and returns that."""
        key = base64.b64encode(b"/").decode()
        revision = int(_etcd_call("kv/range", {"key": key, "count_only": True})["header"]["revision"])
        _etcd_call("kv/compaction", {"revision": revision, "physical": True})
        return revision

    def _wait_ready(self) -> None:
        def ready() -> bool:
            self.apiserver.assert_running()
            self.etcd.assert_running()
            command = ["kubectl", "--kubeconfig", str(self._layout.kubeconfig("admin")), "get", "--raw", "/readyz"]
            return subprocess.run(command, check=False, capture_output=True, timeout=30).stdout == b"ok"

        eventually(ready, _START_SECONDS, "the API server to be ready")


def _etcd_call(path: str, body: dict[str, Any]) -> dict[str, Any]:
    """A call of etcd's gateway from JSON to gRPC."""
    request = urllib.request.Request(f"{ETCD_URL}/v3/{path}", json.dumps(body).encode())
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            parsed: dict[str, Any] = json.load(answer)
    except urllib.error.HTTPError as error:
        raise RuntimeError(f"etcd refused {path}: {error.read().decode(errors='replace')}") from error
    return parsed


def _etcd(layout: Layout) -> list[str]:
    peer = f"http://127.0.0.1:{ETCD_PEER_PORT}"
    return [
        "etcd", f"--data-dir={layout.state}/etcd", f"--listen-client-urls={ETCD_URL}",
        f"--advertise-client-urls={ETCD_URL}", f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}", "--unsafe-no-fsync",
    ]  # fmt: skip


def _apiserver(layout: Layout) -> list[str]:
    pki = layout.pki
    return [
        f"--etcd-servers={ETCD_URL}", "--bind-address=127.0.0.1", "--advertise-address=127.0.0.1",
        f"--secure-port={API_PORT}", f"--tls-cert-file={pki}/apiserver.crt",
        f"--tls-private-key-file={pki}/apiserver.key", f"--client-ca-file={pki}/ca.crt",
        f"--service-account-key-file={pki}/sa.pub", f"--service-account-signing-key-file={pki}/sa.key",
        "--service-account-issuer=https://kubernetes.default.svc", f"--service-cluster-ip-range={SERVICE_SUBNET}",
        "--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction", "--allow-privileged=true",
        f"--kubelet-client-certificate={pki}/client-kubelet.crt", f"--kubelet-client-key={pki}/client-kubelet.key",
        "--kubelet-preferred-address-types=Hostname", "--max-requests-inflight=2000",
        "--max-mutating-requests-inflight=1000",
    ]  # fmt: skip


def _controllers(layout: Layout) -> list[str]:
    return [
        f"--kubeconfig={layout.kubeconfig('controller-manager')}",
        f"--service-account-private-key-file={layout.pki}/sa.key", f"--root-ca-file={layout.pki}/ca.crt",
        "--use-service-account-credentials=true", f"--controllers={','.join(_CONTROLLERS)}", "--port=0",
        "--secure-port=0", "--leader-elect=false", "--kube-api-qps=100", "--kube-api-burst=200",
    ]  # fmt: skip


def _scheduler(layout: Layout) -> list[str]:
    kubeconfig = layout.kubeconfig("scheduler")
    return [f"--kubeconfig={kubeconfig}", "--port=0", "--secure-port=0", "--leader-elect=false"]
