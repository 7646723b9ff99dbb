"""The object store of the API stand-in: objects, one rising resourceVersion, and a history to watch.

Knows nothing of HTTP. Every method is thread-safe; a method returns when its change can be seen by everybody.
"""

from __future__ import annotations

import copy
import re
import threading
import time
import uuid
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from lab import apierrors
from lab.apierrors import ApiFailure
from lab.selectors import COMMON_FIELDS, Predicate

Json = dict[str, Any]
Edit = Callable[[Json], Json]

_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_SNAPSHOTS_KEPT = 64
_MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"
_PRECONDITIONS = {"resourceVersion": _MODIFIED, "uid": "Precondition failed: UID in precondition does not match"}


@dataclass(frozen=True)
class Resource:
    """A kind of object the server serves.

    Attributes:
        fields: what it can be selected by besides its name and namespace.
        has_status: it has a ``status`` subresource, so that the main resource cannot change the status.
    """

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True
    fields: frozenset[str] = frozenset()
    has_status: bool = False

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def selectable(self) -> frozenset[str]:
        return COMMON_FIELDS | self.fields


PODS = Resource(
    "", "v1", "pods", "Pod", fields=frozenset({"spec.nodeName", "status.phase", "status.podIP"}), has_status=True
)
EVENTS = Resource(
    "", "v1", "events", "Event",
    fields=frozenset({"reason", "type", *(f"involvedObject.{key}" for key in ("kind", "namespace", "name", "uid"))}),
)  # fmt: skip
NODES = Resource("", "v1", "nodes", "Node", namespaced=False, has_status=True)
NAMESPACES = Resource("", "v1", "namespaces", "Namespace", namespaced=False, has_status=True)
SECRETS = Resource("", "v1", "secrets", "Secret")
ACCOUNTS = Resource("", "v1", "serviceaccounts", "ServiceAccount")
_RBAC = "rbac.authorization.k8s.io"
ROLES = Resource(_RBAC, "v1", "clusterroles", "ClusterRole", namespaced=False)
BINDINGS = Resource(_RBAC, "v1", "clusterrolebindings", "ClusterRoleBinding", namespaced=False)
NETWORKS = Resource("kaloom.com", "v1", "networks", "Network")
NADS = Resource("k8s.cni.cncf.io", "v1", "network-attachment-definitions", "NetworkAttachmentDefinition")
RESOURCES = (PODS, EVENTS, NODES, NAMESPACES, SECRETS, ACCOUNTS, ROLES, BINDINGS, NETWORKS, NADS)


@dataclass(frozen=True)
class Change:
    """One event of a resource's history. Objects in it are never changed afterwards."""

    version: int
    after: Json | None
    before: Json | None

    def seen_by(self, selects: Predicate) -> tuple[str, Json] | None:
        """The event that a watch with this selector sends: an object that stops matching is DELETED to it."""
        was = self.before is not None and selects(self.before)
        if self.after is not None and selects(self.after):
            return ("MODIFIED" if was else "ADDED"), self.after
        if was and self.before is not None:
            return "DELETED", _with_version(self.before, self.version)
        return None


@dataclass
class _Shelf:
    objects: dict[tuple[str, str], Json] = field(default_factory=dict)
    history: deque[Change] = field(default_factory=deque)
    oldest: int = 0  # a watch can start at this version, not before it
    forgotten: int = 0  # a watch that runs and has not read up to here has missed something


class Store:
    """All objects, by resource, namespace and name."""

    def __init__(self, resources: tuple[Resource, ...] = RESOURCES, history: int = 5000) -> None:
        """`history`: how many events are kept per resource; a watch from before them is too old."""
        self.changed = threading.Condition()
        self._shelves = {resource: _Shelf() for resource in resources}
        self._snapshots: OrderedDict[tuple[Resource, int], list[Json]] = OrderedDict()
        self._version = 100
        self._history = history

    @property
    def version(self) -> int:
        with self.changed:
            return self._version

    @property
    def resources(self) -> tuple[Resource, ...]:
        return tuple(self._shelves)

    def get(self, resource: Resource, namespace: str, name: str) -> Json:
        with self.changed:
            return copy.deepcopy(self._find(resource, namespace, name))

    def snapshot(self, resource: Resource, namespace: str = "") -> tuple[list[Json], int]:
        """All objects in key order, and the version they are of."""
        with self.changed:
            items = sorted(self._shelf(resource).objects.items())
            return [obj for (ns, _), obj in items if namespace in ("", ns)], self._version

    def remember(self, resource: Resource, version: int, items: list[Json]) -> None:
        """Keeps a list for the pages that follow the first one."""
        with self.changed:
            self._snapshots[resource, version] = items
            while len(self._snapshots) > _SNAPSHOTS_KEPT:
                self._snapshots.popitem(last=False)

    def recall(self, resource: Resource, version: int) -> list[Json]:
        """The list remembered at that version; ApiFailure 410 when it was compacted away."""
        with self.changed:
            if (resource, version) not in self._snapshots:
                message = "The provided continue parameter is too old to display a consistent list result."
                raise ApiFailure(410, message)
            return self._snapshots[resource, version]

    def create(self, resource: Resource, namespace: str, obj: Json) -> Json:
        with self.changed:
            created = self._complete(resource, namespace, copy.deepcopy(obj))
            key = _key(created)
            if key in self._shelf(resource).objects:
                raise apierrors.already_exists(resource.qualified, key[1])
            return self._record(resource, key, created)

    def edit(self, resource: Resource, namespace: str, name: str, edit: Edit, part: str = "") -> Json:
        """Replaces the object by ``edit(object)``. `part`: "" or "status", the subresource that is written."""
        with self.changed:
            before = self._find(resource, namespace, name)
            after = _keep_server_fields(resource, before, edit(copy.deepcopy(before)), part)
            _check(resource, after)
            if after == before:
                return copy.deepcopy(before)
            return self._record(resource, _key(before), after)

    def delete(self, resource: Resource, namespace: str, name: str) -> Json:
        """Removes the object at once and returns what it was last."""
        with self.changed:
            obj = self._find(resource, namespace, name)
            self._record(resource, _key(obj), None)
            return copy.deepcopy(obj)

    def changes_after(self, resource: Resource, version: int, *, starting: bool = False) -> list[Change]:
        """Every change since; ApiFailure 410 when they are not known any more. Call with `changed` held to wait.

        `starting`: this is where a watch begins. As in etcd, one that already runs outlives a compaction.
        """
        with self.changed:
            shelf = self._shelf(resource)
            oldest = shelf.oldest if starting else shelf.forgotten
            if version < oldest:
                raise apierrors.expired(version, oldest)
            newer: list[Change] = []
            for change in reversed(shelf.history):
                if change.version <= version:
                    break
                newer.append(change)
            return newer[::-1]

    def compact(self, *, running_watches: bool = False) -> None:
        """A page, or a watch that starts, from before now is too old; with `running_watches` those of now too."""
        with self.changed:
            self._version += 1
            self._snapshots.clear()
            for shelf in self._shelves.values():
                shelf.oldest = self._version
                if running_watches:
                    shelf.forgotten = self._version
            self.changed.notify_all()

    def _record(self, resource: Resource, key: tuple[str, str], after: Json | None) -> Json:
        shelf = self._shelf(resource)
        before = shelf.objects.get(key)
        self._version += 1
        if after is None:
            del shelf.objects[key]
        else:
            after = _with_version(after, self._version)
            shelf.objects[key] = after
        shelf.history.append(Change(self._version, after, before))
        while len(shelf.history) > self._history:
            shelf.forgotten = shelf.history.popleft().version
            shelf.oldest = max(shelf.oldest, shelf.forgotten)
        self.changed.notify_all()
        return copy.deepcopy(after or {})

    def _shelf(self, resource: Resource) -> _Shelf:
        if resource not in self._shelves:
            raise ApiFailure(404, "the server could not find the requested resource")
        return self._shelves[resource]

    def _find(self, resource: Resource, namespace: str, name: str) -> Json:
        obj = self._shelf(resource).objects.get((namespace, name))
        if obj is None:
            raise apierrors.not_found(resource.qualified, name)
        return obj

    def _complete(self, resource: Resource, namespace: str, obj: Json) -> Json:
        metadata = dict(obj.get("metadata") or {})
        if resource.namespaced and metadata.setdefault("namespace", namespace) != namespace:
            raise ApiFailure(400, "the namespace of the provided object does not match the namespace sent")
        metadata.setdefault("uid", str(uuid.uuid4()))
        metadata["creationTimestamp"] = now()
        completed = {"kind": resource.kind, "apiVersion": resource.api_version} | obj | {"metadata": metadata}
        _check(resource, completed)
        return completed


def merged(target: Any, patch: Any) -> Any:
    """`target` with a merge patch (RFC 7386) in it: null removes a key, lists are replaced."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


def now() -> str:
    """The present in the form of the API's timestamps."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _key(obj: Json) -> tuple[str, str]:
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


def _with_version(obj: Json, version: int) -> Json:
    return obj | {"metadata": obj["metadata"] | {"resourceVersion": str(version)}}


def _keep_server_fields(resource: Resource, before: Json, after: Json, part: str) -> Json:
    metadata = dict(after.get("metadata") or {})
    name = before["metadata"]["name"]
    for key, why in _PRECONDITIONS.items():
        if metadata.get(key) not in (None, "", before["metadata"][key]):
            raise apierrors.conflict(resource.qualified, name, why)
    fixed = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    metadata |= {key: before["metadata"][key] for key in fixed if key in before["metadata"]}
    result = after | {"metadata": metadata}
    if resource.has_status:
        kept = "spec" if part == "status" else "status"
        result.pop(kept, None)
        result |= {kept: before[kept]} if kept in before else {}
    return result


def _check(resource: Resource, obj: Json) -> None:
    metadata = obj["metadata"]
    name = metadata.get("name") or ""
    if not _SUBDOMAIN.fullmatch(name) or len(name) > 253:
        raise apierrors.invalid(resource.kind, name, "metadata.name: a lowercase RFC 1123 subdomain is required")
    for key in ("annotations", "labels"):
        for label, value in (metadata.get(key) or {}).items():
            if not isinstance(value, str):
                raise ApiFailure(400, f"{resource.kind} in version {resource.version!r} cannot be handled as a "
                                 f"{resource.kind}: {key} {label!r}: expected a string")  # fmt: skip
    if resource == EVENTS and (obj.get("involvedObject") or {}).get("namespace", "") != metadata["namespace"]:
        raise apierrors.invalid(resource.kind, name, "involvedObject.namespace: does not match event.namespace")
