"""A stand-in for the kubelet with its dockershim: runs the pods that the API server has for this node.

For each pod a pause container (the sandbox, whose network namespace is the pod's), the node's system CNI plugin for
eth0, and the application's containers in that namespace; then the status of the pod. Nothing is ever restarted.
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
from lab.dockerd import PrivateDockerd

Json = dict[str, Any]

_PLUGIN_SECONDS = 30.0


@dataclass(frozen=True)
class RunningPod:
    """What of a pod must not change while its networks do.

    Attributes:
        containers: ID, start time and number of restarts of every container, the sandbox first, as Docker has them.
        pid: of the sandbox; its network namespace is the pod's.
    """

    name: str
    containers: tuple[tuple[str, str, int], ...]
    pid: int

    @property
    def netns(self) -> str:
        return f"/proc/{self.pid}/ns/net"


class Kubelet:
    """Runs pods from `start()` on, in a thread of its own, until the process ends."""

    def __init__(self, api: ApiServer, dockerd: PrivateDockerd, node: str, cni_conf: Path, cni_bin: Path) -> None:
        """`cni_conf`: the configuration of the system CNI plugin; `cni_bin`: directory of the plugins."""
        self._api = api
        self._dockerd = dockerd
        self._node = node
        self._cni_conf = cni_conf
        self._cni_bin = cni_bin
        self._image = dockerd.image()
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
        shown = [self._docker.inspect_container(identifier) for identifier in self._sandboxes[uid]]
        facts = ((each["Id"], each["State"]["StartedAt"], each["RestartCount"]) for each in shown)
        return RunningPod(name, tuple(facts), shown[0]["State"]["Pid"])

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
        labels = {"io.kubernetes.docker.type": "podsandbox"}
        sandbox = self._container(pod, "POD", labels, "none", None)
        address = self._add_default_network(pod, sandbox)
        labels = {"io.kubernetes.docker.type": "container", "io.kubernetes.sandbox.id": sandbox}
        made = {
            container["name"]: self._container(
                pod, container["name"], labels, f"container:{sandbox}", container.get("args")
            )
            for container in pod["spec"]["containers"]
        }
        metadata = pod["metadata"]
        self._sandboxes[metadata["uid"]] = [sandbox, *made.values()]
        statuses = [_container_status(name, identifier) for name, identifier in made.items()]
        status = {"phase": "Running", "podIP": address, "containerStatuses": statuses}
        self._api.set_status(metadata["namespace"], metadata["name"], status)

    def _container(self, pod: Json, name: str, labels: Json, network_mode: str, command: list[str] | None) -> str:
        about = {key: pod["metadata"][key] for key in ("name", "namespace", "uid")}
        labels = labels | {"io.kubernetes.container.name": name}
        labels |= {f"io.kubernetes.pod.{key}": value for key, value in about.items()}
        made = self._docker.create_container(
            self._image,
            command,
            name=f"k8s_{name}_{about['name']}_{about['namespace']}_{about['uid']}_0",
            labels=labels,
            host_config=self._docker.create_host_config(network_mode=network_mode),
        )
        self._docker.start(made["Id"])
        return str(made["Id"])

    def _add_default_network(self, pod: Json, sandbox: str) -> str:
        """eth0, by the system CNI plugin; returns its address."""
        conf = self._cni_conf.read_bytes()
        pid = self._docker.inspect_container(sandbox)["State"]["Pid"]
        about = {"NAMESPACE": pod["metadata"]["namespace"], "NAME": pod["metadata"]["name"]}
        args = "".join(f";K8S_POD_{key}={value}" for key, value in about.items())
        env = {
            "CNI_COMMAND": "ADD",
            "CNI_CONTAINERID": sandbox,
            "CNI_NETNS": f"/proc/{pid}/ns/net",
            "CNI_IFNAME": "eth0",
            "CNI_PATH": str(self._cni_bin),
            "CNI_ARGS": f"IgnoreUnknown=1{args};K8S_POD_INFRA_CONTAINER_ID={sandbox}",
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        }
        plugin = self._cni_bin / json.loads(conf)["type"]
        ran = subprocess.run([plugin], input=conf, env=env, capture_output=True, timeout=_PLUGIN_SECONDS, check=False)
        if ran.returncode:
            raise RuntimeError(f"the system CNI plugin {plugin} failed for eth0: {ran.stdout.decode()}")
        address: str = json.loads(ran.stdout)["ips"][0]["address"]
        return address.partition("/")[0]

    @property
    def _docker(self) -> Any:
        return self._dockerd.client.api


def _container_status(name: str, identifier: str) -> Json:
    state = {"running": {"startedAt": apistore.now()}}
    return {"name": name, "containerID": f"docker://{identifier}", "ready": True, "restartCount": 0, "state": state}
