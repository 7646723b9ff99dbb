"""One folder with all that a failed run leaves to be looked at."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
import uuid
from pathlib import Path

from e2e.cluster.cluster import Cluster
from e2e.cluster.layout import PROJECT
from lab.leases import ROOT

_COMMANDS = {
    "pods.yaml": "kubectl get pods -A -o yaml",
    "pods.txt": "kubectl get pods -A -o wide",
    "events.txt": "kubectl get events -A --sort-by=.metadata.creationTimestamp",
    "networks.yaml": "kubectl get networks.kaloom.com -A -o yaml",
    "containers.txt": "docker -H {docker} ps -a --no-trunc",
    "host-links.txt": "ip -d addr",
    "leases.txt": "grep -r . {leases}",
    "processes.txt": "ps -eo pid,ppid,lstart,stat,args",
}
_IP_A = """
for id in $(docker -H {docker} ps -q --filter label=io.kubernetes.docker.type=podsandbox); do
  docker -H {docker} inspect --format '=== {{{{index .Config.Labels "io.kubernetes.pod.name"}}}} {{{{.Id}}}}' $id
  nsenter -t $(docker -H {docker} inspect --format '{{{{.State.Pid}}}}' $id) -n ip addr
done
"""


class Evidence:
    """Collects below ``build/e2e-failed``; nothing is made when nothing fails."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        # Two clusters with one plugin may come up in the same second.
        name = f"{time.strftime('%Y%m%d-%H%M%S')}-{cluster.system_plugin}-{uuid.uuid4().hex[:4]}"
        self.folder = PROJECT / "build" / "e2e-failed" / name
        self.failures = 0

    @property
    def can_be_had(self) -> bool:
        """Whether the cluster is still there."""
        return self._cluster.layout.is_used

    def collect(self, case: str) -> None:
        """What is so now: pods, interfaces, leases, state, and the logs until now."""
        self.failures += 1
        folder = self.folder / case
        folder.mkdir(parents=True, exist_ok=True)
        layout = self._cluster.layout
        places = {"docker": f"unix://{layout.docker}/docker.sock", "leases": ROOT}
        for file, command in {**_COMMANDS, "ip-a-of-every-pod.txt": _IP_A}.items():
            self._write(folder / file, command.format(**places))
        for source in (layout.logs, layout.agent, layout.kactus, layout.cni_conf):
            with contextlib.suppress(OSError, shutil.Error):
                ignored = shutil.ignore_patterns("notify")
                shutil.copytree(source, folder / source.name, ignore=ignored, dirs_exist_ok=True)
        with contextlib.suppress(OSError):
            shutil.copy(layout.docker / "log", folder / "log" / "dockerd.log")

    def _write(self, path: Path, command: str) -> None:
        try:
            ran = subprocess.run(
                ["bash", "-c", command], env=self._cluster.environment, capture_output=True, timeout=60, check=False
            )
            path.write_bytes(ran.stdout + ran.stderr)
        except subprocess.TimeoutExpired:
            path.write_text(f"{command}: no answer within a minute\n")
