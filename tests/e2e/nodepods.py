"""Pods of the real node: made through the API server, run by the kubelet, seen in runtime and namespaces."""

from __future__ import annotations

import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from kubernetes import client

from e2e.cluster.cluster import Cluster
from e2e.cluster.layout import IMAGE
from lab.links import HasLinks
from lab.node import NETWORKS, annotation
from lab.waiting import eventually

Json = dict[str, Any]

START_SECONDS = 90.0
GONE_SECONDS = 120.0


class NodePod(HasLinks):
    """A pod, by its object: two of one name are two."""

    own = frozenset({"lo", "eth0"})
    eth0_by_kactus = True

    def __init__(self, pods: NodePods, namespace: str, name: str, uid: str, label_uid: str = "") -> None:
        """`label_uid`: the UID that its containers are labelled with, where that is another (static pods)."""
        self._pods = pods
        self.namespace, self.name, self.uid = namespace, name, uid
        self._label_uid = label_uid or uid
        self._seen = ("", 0)

    def __repr__(self) -> str:
        return f"NodePod({self.namespace}/{self.name}, {self.uid})"

    @property
    def sandbox_id(self) -> str:
        """Of its running sandbox; "" without one."""
        return self._sandbox()[0]

    @property
    def pid(self) -> int:  # type: ignore[override]
        """Of the process that holds its namespace; 0 without one."""
        return self._sandbox()[1]

    @property
    def container(self) -> str:
        """The ID of its one container."""
        [status] = (self.object() or {})["status"]["containerStatuses"]
        return str(status["containerID"]).partition("://")[2]

    def object(self) -> Json | None:
        """As the API server has it now; None when it is gone, or is another pod of that name."""
        found = self._pods.read(self.namespace, self.name)
        return found if found and found["metadata"]["uid"] == self.uid else None

    def networks(self) -> list[Any]:
        """The names of its annotation, or entries that say more; none when it is gone."""
        found = self.object()
        entries = json.loads(found["metadata"]["annotations"][NETWORKS]) if found else []
        return [each["name"] if each.keys() == {"name"} else each for each in entries]

    def annotate(self, networks: list[Any] | str | None) -> None:
        """Sets the ``networks`` annotation: names or entries, raw text, or None to remove it."""
        text = annotation(networks) if isinstance(networks, list) else networks
        body = {"metadata": {"annotations": {NETWORKS: text}}}
        self._pods.api.patch_namespaced_pod(self.name, self.namespace, body)

    def remove(self) -> None:
        """Deletes its object by force."""
        self._pods.api.delete_namespaced_pod(self.name, self.namespace, grace_period_seconds=0)

    def delete(self) -> None:
        """By force; returns when nothing of it runs."""
        self.remove()
        self.wait_gone()

    def kill_sandbox(self) -> str:
        """Ends it behind everybody's back, and with it the network namespace; returns its ID."""
        killed = self.sandbox_id
        self._pods.runtime.kill(killed)
        return killed

    def is_running(self) -> bool:
        found = self.object()
        assert found, "it is gone"
        statuses = found["status"].get("containerStatuses") or []
        return found["status"].get("phase") == "Running" and all("running" in each["state"] for each in statuses)

    def wait_running(self, timeout: float = START_SECONDS) -> NodePod:
        eventually(self.is_running, timeout, f"{self} to run")
        return self

    def wait_new_container(self, old: str) -> None:
        """Waits until the kubelet has started another container in place of that one."""
        eventually(lambda: self.is_running() and self.container != old, START_SECONDS, f"{self} to be restarted")

    def wait_new_sandbox(self, old: str) -> None:
        """Waits until the kubelet has made another sandbox, and the pod runs in it."""

        def runs_again() -> bool:
            return self.sandbox_id not in ("", old) and self.is_running()

        eventually(runs_again, START_SECONDS, f"a new sandbox of {self}")

    def wait_gone(self) -> None:
        """Waits until its object is deleted and nothing of it runs."""
        eventually(lambda: not self.object() and not self.sandbox_id, GONE_SECONDS, f"{self} to be gone")

    def _sandbox(self) -> tuple[str, int]:
        runtime = self._pods.runtime
        newest = runtime.running_sandbox(self._label_uid)
        if newest and self._seen[0] != newest:
            self._seen = newest, runtime.inspect(newest).pid
        return self._seen if newest else ("", 0)


class NodePods:
    """Makes pods and deployments, and removes them all at the end."""

    def __init__(self, cluster: Cluster, api: client.CoreV1Api) -> None:
        self._cluster = cluster
        self.api = api
        self._apps = client.AppsV1Api(api.api_client)
        self.runtime = cluster.runtime
        self._namespaces = {"default"}

    def make(self, name: str = "", namespace: str = "default", *, wait: bool = True, **options: Any) -> NodePod:
        """Makes a pod and, with `wait`, waits until it runs. Options as of `pod_manifest`."""
        body = pod_manifest(name or f"pod-{uuid.uuid4().hex[:6]}", **options)
        made = self._plain(self.api.create_namespaced_pod(namespace, body))["metadata"]
        pod = NodePod(self, namespace, made["name"], made["uid"])
        return pod.wait_running() if wait else pod

    def many(self, count: int) -> list[NodePod]:
        """Makes so many pods, and waits until all run."""
        with ThreadPoolExecutor(8) as pool:
            made = list(pool.map(lambda _: self.make(wait=False), range(count)))
        return [pod.wait_running(START_SECONDS + 2 * count) for pod in made]

    def deployment(self, name: str, replicas: int, networks: list[Any]) -> list[NodePod]:
        """Makes a deployment whose pods have these networks, and waits until all of them run."""
        pod = pod_manifest("", networks=networks, labels={"app": name})
        template = {"metadata": {key: pod["metadata"][key] for key in ("annotations", "labels")}, "spec": pod["spec"]}
        spec = {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template}
        body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}
        self._apps.create_namespaced_deployment("default", body)
        return self.wait_for_deployment(name, replicas)

    def wait_for_deployment(self, name: str, replicas: int) -> list[NodePod]:
        """Its pods, once it is completely rolled out."""
        self._cluster.kubectl("rollout", "status", f"deployment/{name}", "--timeout=120s")

        def all_run() -> list[NodePod]:
            pods = self.labelled(f"app={name}")
            return pods if len(pods) == replicas and all(pod.is_running() for pod in pods) else []

        return eventually(all_run, START_SECONDS, f"{replicas} pods of deployment {name} to run")

    def labelled(self, selector: str) -> list[NodePod]:
        """The pods with these labels that are to stay, by name."""
        found = [each["metadata"] for each in self._list("default", label_selector=selector)]
        staying = [NodePod(self, "default", each["name"], each["uid"]) for each in found if not is_ending(each)]
        return sorted(staying, key=lambda pod: pod.name)

    def use_namespace(self) -> str:
        """Makes a namespace, which is deleted at the end; returns its name."""
        name = f"e2e-{uuid.uuid4().hex[:6]}"
        self._namespaces.add(name)
        self._cluster.kubectl("create", "namespace", name)
        service_account = "get", "serviceaccount", "default", "-n", name, "--ignore-not-found", "-o", "name"
        eventually(lambda: self._cluster.kubectl(*service_account), 30, f"the service account of namespace {name}")
        return name

    def remove_all(self) -> None:
        """Deletes everything by force: deployments first, which would replace their pods."""
        for namespace in self._namespaces:
            self._apps.delete_collection_namespaced_deployment(namespace)
            eventually(partial(self._is_empty, namespace), 120, f"no pods in namespace {namespace}")
        if others := self._namespaces - {"default"}:
            self._cluster.kubectl("delete", "namespace", *others, "--ignore-not-found", "--wait=false")
            self._namespaces = {"default"}

    def read(self, namespace: str, name: str) -> Json | None:
        found = self._list(namespace, field_selector=f"metadata.name={name}")
        return found[0] if found else None

    def _is_empty(self, namespace: str) -> bool:
        """Deletes the pods that are there; False as long as some are, or what could still make others."""
        makers = self._apps.list_namespaced_replica_set(namespace).items
        left = self._list(namespace)
        if left:
            self.api.delete_collection_namespaced_pod(namespace, grace_period_seconds=0)
        return not makers and not left

    def _list(self, namespace: str, **selectors: str) -> list[Json]:
        found: list[Json] = self._plain(self.api.list_namespaced_pod(namespace, **selectors))["items"]
        return found

    def _plain(self, model: object) -> Json:
        """As the server sent it."""
        found: Json = self.api.api_client.sanitize_for_serialization(model)
        return found


def is_ending(metadata: Json) -> bool:
    return "deletionTimestamp" in metadata


def pod_manifest(
    name: str,
    *,
    networks: list[Any] | None = None,
    annotations: dict[str, str] | None = None,
    labels: dict[str, str] | None = None,
    init: str = "",
    host_network: bool = False,
    command: str = "",
    restart: str = "Always",
) -> Json:
    """A pod with one container.

    `networks`: names or entries. `init`, `command`: shell commands of an init container, and of the container itself,
    which else does nothing forever. `restart`: its restart policy.
    """
    all_annotations = (annotations or {}) | ({} if networks is None else {NETWORKS: annotation(networks)})
    container: Json = {"name": "main", "image": IMAGE, "imagePullPolicy": "Never"}
    if command:
        container["command"] = ["/bin/sh", "-c", command]
    spec: Json = {
        "containers": [container], "restartPolicy": restart, "hostNetwork": host_network,
        "terminationGracePeriodSeconds": 1, "automountServiceAccountToken": False,
    }  # fmt: skip
    if init:
        spec["initContainers"] = [container | {"name": "init", "command": ["/bin/sh", "-c", init]}]
    metadata = {"name": name, "annotations": all_annotations, "labels": labels or {}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
