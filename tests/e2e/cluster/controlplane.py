"""etcd, API server, controller manager and scheduler, with the faults that tests ask for."""

from __future__ import annotations

import base64
import json
import ssl
import urllib.error
import urllib.request
from typing import Any

from e2e.cluster.daemons import Daemon
from e2e.cluster.layout import API_URL, ETCD_URL, KUBERNETES, PKI, kubeconfig
from lab.waiting import eventually

_START_SECONDS = 90.0
# Those that pods, deployments, evictions, namespaces and service accounts need; the others only cost time.
_CONTROLLERS = (
    "serviceaccount", "serviceaccount-token", "root-ca-cert-publisher", "deployment", "replicaset", "namespace",
    "garbagecollector", "nodelifecycle", "podgc", "disruption",
)  # fmt: skip
_ETCD_PEER = "http://127.0.0.1:12380"


class ControlPlane:
    """The servers of the cluster, as processes of this machine."""

    def __init__(self) -> None:
        self.etcd = Daemon("etcd", _etcd())
        self.apiserver = _daemon("apiserver", _apiserver())
        self.controllers = _daemon("controller-manager", _controllers())
        self.scheduler = _daemon("scheduler", [f"--kubeconfig={kubeconfig('scheduler')}", *_UNSEEN])
        self._daemons = self.etcd, self.apiserver, self.controllers, self.scheduler

    def start(self) -> None:
        """Starts what does not run: first the API server, since the others end if it is not ready within 20 s."""
        for daemon in self._daemons:
            if not daemon.running:
                daemon.start()
            if daemon is self.apiserver:
                eventually(self._is_ready, _START_SECONDS, "the API server to be ready")

    def kill(self) -> None:
        """As when the machine that they run on dies; what etcd stored is kept."""
        for daemon in reversed(self._daemons):
            daemon.kill()

    def compact(self) -> None:
        """Has etcd forget every version but the newest one."""
        key = base64.b64encode(b"/").decode()
        revision = int(_etcd_call("kv/range", {"key": key, "count_only": True})["header"]["revision"])
        _etcd_call("kv/compaction", {"revision": revision, "physical": True})

    def get(self, path: str) -> bytes:
        """What the API server answers an administrator; b"" when it does not. kubectl takes ten times as long."""
        context = ssl.create_default_context(cafile=str(PKI / "ca.crt"))
        context.load_cert_chain(PKI / "admin.crt", PKI / "admin.key")
        try:
            with urllib.request.urlopen(f"{API_URL}{path}", timeout=30, context=context) as answer:
                return bytes(answer.read())
        except OSError:
            return b""

    def _is_ready(self) -> bool:
        self.apiserver.assert_running()
        self.etcd.assert_running()
        return self.get("/readyz") == b"ok"


def _etcd_call(path: str, body: dict[str, Any]) -> dict[str, Any]:
    """A call of etcd's gateway from JSON to gRPC."""
    request = urllib.request.Request(f"{ETCD_URL}/v3/{path}", json.dumps(body).encode())
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            parsed: dict[str, Any] = json.load(answer)
    except urllib.error.HTTPError as error:
        raise RuntimeError(f"etcd refused {path}: {error.read().decode(errors='replace')}") from error
    return parsed


def _daemon(name: str, flags: list[str]) -> Daemon:
    return Daemon(f"kube-{name}", [str(KUBERNETES / f"kube-{name}"), *flags])


_UNSEEN = ("--port=0", "--secure-port=0", "--leader-elect=false")


def _etcd() -> list[str]:
    return [
        "etcd", f"--data-dir={PKI.parent}/etcd", f"--listen-client-urls={ETCD_URL}",
        f"--advertise-client-urls={ETCD_URL}", f"--listen-peer-urls={_ETCD_PEER}",
        f"--initial-advertise-peer-urls={_ETCD_PEER}", f"--initial-cluster=default={_ETCD_PEER}", "--unsafe-no-fsync",
    ]  # fmt: skip


def _apiserver() -> list[str]:
    return [
        f"--etcd-servers={ETCD_URL}", "--bind-address=127.0.0.1", "--advertise-address=127.0.0.1",
        f"--secure-port={API_URL.rpartition(':')[2]}", f"--tls-cert-file={PKI}/apiserver.crt",
        f"--tls-private-key-file={PKI}/apiserver.key", f"--client-ca-file={PKI}/ca.crt",
        f"--service-account-key-file={PKI}/sa.pub", f"--service-account-signing-key-file={PKI}/sa.key",
        "--service-account-issuer=https://kubernetes.default.svc", "--service-cluster-ip-range=10.96.0.0/24",
        "--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction", "--allow-privileged=true",
        f"--kubelet-client-certificate={PKI}/client-kubelet.crt", f"--kubelet-client-key={PKI}/client-kubelet.key",
        "--kubelet-preferred-address-types=Hostname", "--max-requests-inflight=2000",
        "--max-mutating-requests-inflight=1000",
    ]  # fmt: skip


def _controllers() -> list[str]:
    return [
        f"--kubeconfig={kubeconfig('controller-manager')}", f"--service-account-private-key-file={PKI}/sa.key",
        f"--root-ca-file={PKI}/ca.crt", "--use-service-account-credentials=true",
        f"--controllers={','.join(_CONTROLLERS)}", *_UNSEEN, "--kube-api-qps=100", "--kube-api-burst=200",
    ]  # fmt: skip
