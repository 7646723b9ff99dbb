"""One folder with all that a failed run leaves to be looked at."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
import uuid

from e2e.cluster.cluster import Cluster
from e2e.cluster.layout import AGENT, CNI_CONF, KACTUS, LOGS, PROJECT, RUNTIME
from lab.leases import ROOT

_DOCKER = f"docker -H unix://{RUNTIME}/docker.sock"
_CONTAINERD = f"ctr -a {RUNTIME}/containerd.sock -n k8s.io"
_LOOK = f"""\
kubectl get pods -A -o yaml
kubectl get pods -A -o wide
kubectl get events -A --sort-by=.metadata.creationTimestamp
kubectl get networks.kaloom.com -A -o yaml
ip -d addr
grep -r . {ROOT}
grep /run/podagent/netns/ /proc/self/mountinfo
ps -eo pid,ppid,lstart,stat,args
"""
_LOOK_AT_PODS = {
    "docker": f"""\
{_DOCKER} ps -a --no-trunc
for id in $({_DOCKER} ps -q --filter label=io.kubernetes.docker.type=podsandbox); do
  {_DOCKER} inspect --format '=== {{{{index .Config.Labels "io.kubernetes.pod.name"}}}} {{{{.Id}}}}' $id
  nsenter -t $({_DOCKER} inspect --format '{{{{.State.Pid}}}}' $id) -n ip addr
done
""",
    "containerd": f"""\
{_CONTAINERD} tasks list
for id in $({_CONTAINERD} containers list -q); do
  {_CONTAINERD} containers info $id | grep -E '"(ID|io.kubernetes.(pod|container).name)"|/netns/'
done
for netns in {RUNTIME}/state/io.containerd.grpc.v1.cri/netns/*; do
  nsenter --net=$netns ip addr
done
""",
}


class Evidence:
    """Collects below ``build/e2e-failed``; nothing is made when nothing fails."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        # Two clusters with one plugin may come up in the same second.
        name = f"{time.strftime('%Y%m%d-%H%M%S')}-{cluster.system_plugin}-{cluster.runtime.name}-{uuid.uuid4().hex[:4]}"
        self.folder = PROJECT / "build" / "e2e-failed" / name

    def collect(self, case: str) -> None:
        """What is so now: pods, interfaces, leases, state, and the logs until now."""
        folder, runtime = self.folder / case, self._cluster.runtime.name
        folder.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(subprocess.TimeoutExpired), (folder / "node.txt").open("wb") as output:
            look = ["bash", "-xc", _LOOK + _LOOK_AT_PODS[runtime]]
            subprocess.run(
                look, env=self._cluster.environment, stdout=output, stderr=output, timeout=120, check=False
            )  # fmt: skip
        for source in (LOGS, AGENT, KACTUS, CNI_CONF):
            with contextlib.suppress(OSError, shutil.Error):
                shutil.copytree(source, folder / source.name, ignore=shutil.ignore_patterns("notify"))
        with contextlib.suppress(OSError):
            shutil.copy(RUNTIME / "log", folder / f"{runtime}.log")
