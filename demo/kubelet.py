"""A stand-in for the kubelet: runs the pods that the API server has for this node.

For each pod a sandbox, whose network namespace is the pod's, the node's system CNI plugin for eth0, unless the runtime
calls it, and the application's containers in that namespace; then the status of the pod. Nothing is ever restarted.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.kactus import Kactus, kubelet_args
from lab.node import Node, Pod
from lab.podruntime import Container

Json = dict[str, Any]


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

    def __init__(self, node: Node, cni_conf: Path, cni_bin: Path) -> None:
        """`cni_conf`: the configuration of the system CNI plugin; `cni_bin`: directory of the plugins."""
        self._node = node
        self._conf: Json = json.loads(cni_conf.read_text())
        self._plugin = Kactus(cni_bin / self._conf["type"], cni_bin, Path(self._conf.get("cniDir", "/nonexistent")))
        self._failure: Exception | None = None

    def start(self) -> None:
        threading.Thread(target=self._run, name="kubelet", daemon=True).start()

    def running(self) -> list[RunningPod]:
        """The pods that run, in order of their names. Raises what made a pod fail to start."""
        if self._failure:
            raise self._failure
        return sorted(map(self._look_at, self._node.pods), key=lambda pod: pod.name)

    def _look_at(self, pod: Pod) -> RunningPod:
        containers = map(self._node.runtime.inspect, (pod.sandbox_id, *pod.container_ids.values()))
        return RunningPod(pod.name, tuple(containers))

    def _run(self) -> None:
        api = self._node.api
        try:
            while True:
                for obj in self._pending():
                    self._start(self._node.found(obj))
                with api.changed:
                    if not self._pending():
                        api.changed.wait()
        except Exception as error:  # raised to whoever asks for the pods
            self._failure = error

    def _pending(self) -> list[Json]:
        pods = self._node.api.objects("pods")
        mine = (pod for pod in pods if pod["spec"].get("nodeName") == self._node.name)
        return [pod for pod in mine if pod["status"].get("phase") == "Pending"]

    def _start(self, pod: Pod) -> None:
        pod.start_sandbox()
        if "eth0" not in self._node.runtime.own_links:
            self._make_eth0(pod)
        pod.start_containers()
        pod.report_running(pod.links()["eth0"].addresses[0].partition("/")[0])
        self._node.pods.append(pod)

    def _make_eth0(self, pod: Pod) -> None:
        args = kubelet_args(pod.sandbox_id, pod.namespace, pod.name)
        answer = self._plugin.call("ADD", pod.sandbox_id, pod.netns, args=args, conf=self._conf)
        if not answer.ok:
            raise RuntimeError(f"the system CNI plugin {self._plugin.executable} failed for eth0: {answer.message}")
