"""Pods as the kubelet makes them: a sandbox, application containers in it, and the pod object in the API stand-in."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from lab.apiserver import ApiServer
from lab.apistore import now
from lab.links import HasLinks
from lab.podruntime import IMAGE, PodMetadata, PodRuntime

Json = dict[str, Any]

NETWORKS = "networks"
_AT_A_TIME = 4
_MIRROR = "kubernetes.io/config.mirror"


class Node:
    """Makes pods on one node, and removes them all at the end."""

    def __init__(self, api: ApiServer, runtime: PodRuntime, name: str = "lab-node") -> None:
        self.api = api
        self.runtime = runtime
        self.name = name
        self.pods: list[Pod] = []
        if not api.exists("nodes", "", name):
            api.create({"kind": "Node", "metadata": {"name": name}})

    def pod(self, name: str = "", namespace: str = "default", *, start: bool = True, **options: Any) -> Pod:
        """Makes a pod and, with `start`, runs it. Options as of `Pod`."""
        pod = Pod(self, name or f"pod-{uuid.uuid4().hex[:6]}", namespace, **options)
        self.pods.append(pod)
        pod.create_object()
        if start:
            pod.start()
        return pod

    def found(self, obj: Json) -> Pod:
        """The pod of an object that somebody else made: it is not started yet, and its containers have commands."""
        metadata, containers = obj["metadata"], obj["spec"]["containers"]
        pod = Pod(self, metadata["name"], metadata["namespace"])
        pod.object_uid = pod.uid = metadata["uid"]
        pod.commands = {each["name"]: each.get("args", []) for each in containers}
        return pod

    def many(self, count: int, **options: Any) -> list[Pod]:
        """Makes so many pods, a few at a time."""
        with ThreadPoolExecutor(_AT_A_TIME) as pool:
            return list(pool.map(lambda _: self.pod(**options), range(count)))

    def remove_all(self) -> None:
        """Deletes every pod, gracefully."""
        with ThreadPoolExecutor(_AT_A_TIME) as pool:
            list(pool.map(Pod.delete, self.pods))
        self.pods.clear()


class Pod(HasLinks):
    """One pod, from its object to its containers."""

    def __init__(
        self, node: Node, name: str, namespace: str, *, networks: list[Any] | None = None, host_network: bool = False,
        static: bool = False,
    ) -> None:  # fmt: skip
        """`networks`: names, or entries, for the ``networks`` annotation.

        `static`: as if out of a manifest file: the object is only its mirror, and the sandbox carries another UID.
        """
        self._node = node
        self._api = node.api
        self._runtime = node.runtime
        self.own = node.runtime.own_links
        self.name, self.namespace = name, namespace
        self.host_network = host_network
        self.commands: Mapping[str, Sequence[str]] = {"main": ()}  # by container
        self.object_uid = str(uuid.uuid4())
        self.uid = hashlib.md5(self.object_uid.encode()).hexdigest() if static else self.object_uid
        self._annotations = {_MIRROR: self.uid} if static else {}
        if networks is not None:
            self._annotations[NETWORKS] = annotation(networks)
        self.attempt = 0
        self.sandbox_id = ""
        self.container_ids: dict[str, str] = {}
        self.pid = 0

    def __repr__(self) -> str:
        return f"Pod({self.namespace}/{self.name}, {self.uid}, sandbox {self.sandbox_id[:12]})"

    # --- steps of its life --------------------------------------------------------------------------------------

    def create_object(self) -> None:
        """The pod object, scheduled to the node and Pending."""
        about = {"name": self.name, "namespace": self.namespace, "uid": self.object_uid}
        spec: Json = {"nodeName": self._node.name, "containers": [{"name": n, "image": IMAGE} for n in self.commands]}
        if self.host_network:
            spec["hostNetwork"] = True
        metadata: Json = about | {"annotations": self._annotations, "labels": {"app": self.name}}
        pod = {"kind": "Pod", "metadata": metadata, "spec": spec, "status": {"phase": "Pending"}}
        self._api.create(pod)

    def start(self) -> None:
        """Sandbox, containers, and status Running."""
        self.start_sandbox()
        self.start_containers()
        self.report_running()

    def start_sandbox(self) -> None:
        """It is the pod's network namespace."""
        self.sandbox_id = self._runtime.run_sandbox(self.metadata, host_network=self.host_network)
        self.pid = self._runtime.inspect(self.sandbox_id).pid

    def start_containers(self) -> None:
        for name in self.commands:
            self._start_container(name)

    def report_running(self, address: str = "") -> None:
        """Writes the status, as the kubelet does once the containers run. `address`: of eth0."""
        statuses = [self._container_status(name, identifier) for name, identifier in self.container_ids.items()]
        status: Json = {"phase": "Running", "containerStatuses": statuses} | ({"podIP": address} if address else {})
        self._api.set_status(self.namespace, self.name, status)

    def replace_sandbox(self) -> None:
        """The sandbox died under the living pod: the kubelet makes another one, with new containers in it."""
        self._remove_containers()
        self.attempt += 1
        self.start()

    def kill_sandbox(self) -> None:
        """Ends its processes, and with them the network namespace, without anybody noticing it yet."""
        for identifier in (*self.container_ids.values(), self.sandbox_id):
            self._runtime.kill(identifier)

    def lose_sandbox(self) -> None:
        """As above, and it is noticed: by the runtime, or else by the kubelet, which shall not start the pod again."""
        self.kill_sandbox()
        if not self._runtime.reports_ends:
            self._report_ended("Failed")

    def restart_container(self, name: str = "main") -> None:
        """Another application container in the same sandbox."""
        self._runtime.remove(self.container_ids.pop(name))
        self.attempt += 1
        self._start_container(name)
        self.report_running()

    def delete(self, *, grace: bool = True) -> None:
        """Gracefully: marked, containers ended, object removed. By force: object removed first, containers after."""
        exists = self._is_mine()
        if exists and grace:
            self._api.begin_deletion(self.namespace, self.name)
            self._remove_containers()
        if exists:
            self._api.delete("pods", self.namespace, self.name)
        self._remove_containers()

    def finish(self, phase: str = "Succeeded") -> None:
        """The containers ended by themselves; the object stays."""
        self._remove_containers()
        self._report_ended(phase)

    # --- what tests ask and change ------------------------------------------------------------------------------

    def annotate(self, networks: list[Any] | str | None) -> None:
        """Sets the ``networks`` annotation: names or entries of a list, raw text, or None to remove it."""
        text = annotation(networks) if isinstance(networks, list) else networks
        self._api.annotate(self.namespace, self.name, {NETWORKS: text})

    @property
    def netns(self) -> str:
        """Path of the network namespace."""
        return f"/proc/{self.pid}/ns/net"

    @property
    def metadata(self) -> PodMetadata:
        """As the runtime is to know the pod now."""
        return PodMetadata(self.name, self.namespace, self.uid, self.attempt)

    def _start_container(self, name: str) -> None:
        command = self.commands[name]
        self.container_ids[name] = self._runtime.run_container(self.metadata, self.sandbox_id, name, command)

    def _report_ended(self, phase: str) -> None:
        self._api.set_status(self.namespace, self.name, {"phase": phase})

    def _remove_containers(self) -> None:
        for identifier in filter(None, (*self.container_ids.values(), self.sandbox_id)):
            self._runtime.remove(identifier)
        self.container_ids, self.sandbox_id, self.pid = {}, "", 0

    def _container_status(self, name: str, identifier: str) -> Json:
        state = {"running": {"startedAt": now()}}
        about = {"name": name, "image": IMAGE, "imageID": "", "ready": True, "restartCount": self.attempt}
        return about | {"containerID": f"{self._runtime.name}://{identifier}", "state": state}

    def _is_mine(self) -> bool:
        """Whether the object of that name is this pod, not one that was made again under the name."""
        pods = self._api.objects("pods", self.namespace)
        return any(pod["metadata"]["uid"] == self.object_uid for pod in pods)


def annotation(networks: list[Any]) -> str:
    """The ``networks`` annotation for names or whole entries."""
    return json.dumps([{"name": each} if isinstance(each, str) else each for each in networks])
