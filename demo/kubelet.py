"""A stand-in for the kubelet: runs the pods that the API server has for this node.

For each pod a sandbox, whose network namespace is the pod's, the node's system CNI plugin for eth0, and the
application's containers in that namespace; then the status of the pod. Nothing is ever restarted.
"""

from __future__ import annotations

import json
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab import apistore
from lab.apiserver import ApiServer
from lab.runtime import Container, PodMetadata, Runtime

Json = dict[str, Any]

_PLUGIN_SECONDS = 30.0


@dataclass(frozen=True)
class RunningPod:
    """What of a pod must not change while its networks do.

    Attributes:
        containers: all of them, the sandbox first.
    """

    name: str
    containers: tuple[Container, ...]

    @property
    def pid(self) -> int:
        """Of the sandbox; its network namespace is the pod's."""
        return self.containers[0].pid

    @property
    def netns(self) -> str:
        return f"/proc/{self.pid}/ns/net"


class Kubelet:
    """Runs pods from `start()` on, in a thread of its own, until the process ends."""

    def __init__(self, api: ApiServer, runtime: Runtime, node: str, cni_conf: Path, cni_bin: Path) -> None:
        """`cni_conf`: the configuration of the system CNI plugin; `cni_bin`: directory of the plugins."""
        self._api = api
        self._runtime = runtime
        self._node = node
        self._cni_conf = cni_conf
        self._cni_bin = cni_bin
        self._sandboxes: dict[str, list[str]] = {}
        self._failure: Exception | None = None

    def start(self) -> None:
        threading.Thread(target=self._run, name="kubelet", daemon=True).start()

    def running(self) -> list[RunningPod]:
        """The pods that run, in order of their names. Raises what made a pod fail to start."""
        if self._failure:
            raise self._failure
        names = {pod["metadata"]["uid"]: pod["metadata"]["name"] for pod in self._pods("Running")}
        return sorted((self._look_at(uid, name) for uid, name in names.items()), key=lambda pod: pod.name)

    def _look_at(self, uid: str, name: str) -> RunningPod:
        return RunningPod(name, tuple(map(self._runtime.inspect, self._sandboxes[uid])))

    def _run(self) -> None:
        try:
            while True:
                for pod in self._pods("Pending"):
                    self._start_pod(pod)
                with self._api.store.changed:
                    if not self._pods("Pending"):
                        self._api.store.changed.wait()
        except Exception as error:  # told to whoever asks for the pods
            self._failure = error

    def _pods(self, phase: str) -> list[Json]:
        pods = self._api.objects("pods")
        return [p for p in pods if p["spec"].get("nodeName") == self._node and p["status"].get("phase") == phase]

    def _start_pod(self, pod: Json) -> None:
        about = PodMetadata(*(pod["metadata"][key] for key in ("name", "namespace", "uid")))
        sandbox = self._runtime.run_sandbox(about)
        address = self._add_default_network(about, sandbox)
        made = {
            each["name"]: self._runtime.run_container(about, sandbox, each["name"], each.get("args", ()))
            for each in pod["spec"]["containers"]
        }
        self._sandboxes[about.uid] = [sandbox, *made.values()]
        statuses = [self._container_status(name, identifier) for name, identifier in made.items()]
        status = {"phase": "Running", "podIP": address, "containerStatuses": statuses}
        self._api.set_status(about.namespace, about.name, status)

    def _add_default_network(self, pod: PodMetadata, sandbox: str) -> str:
        """eth0, by the system CNI plugin; returns its address."""
        conf = self._cni_conf.read_bytes()
        pid = self._runtime.inspect(sandbox).pid
        about = f"K8S_POD_NAMESPACE={pod.namespace};K8S_POD_NAME={pod.name}"
        env = {
            "CNI_COMMAND": "ADD",
            "CNI_CONTAINERID": sandbox,
            "CNI_NETNS": f"/proc/{pid}/ns/net",
            "CNI_IFNAME": "eth0",
            "CNI_PATH": str(self._cni_bin),
            "CNI_ARGS": f"IgnoreUnknown=1;{about};K8S_POD_INFRA_CONTAINER_ID={sandbox}",
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        }
        plugin = self._cni_bin / json.loads(conf)["type"]
        ran = subprocess.run([plugin], input=conf, env=env, capture_output=True, timeout=_PLUGIN_SECONDS, check=False)
        if ran.returncode:
            raise RuntimeError(f"the system CNI plugin {plugin} failed for eth0: {ran.stdout.decode()}")
        address: str = json.loads(ran.stdout)["ips"][0]["address"]
        return address.partition("/")[0]

    def _container_status(self, name: str, identifier: str) -> Json:
        state = {"running": {"startedAt": apistore.now()}}
        about = {"name": name, "ready": True, "restartCount": 0}
        return about | {"containerID": f"{self._runtime.name}://{identifier}", "state": state}
