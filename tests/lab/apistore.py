"""The objects of the API stand-in, one rising resourceVersion, and the history that watches read. No HTTP."""

from __future__ import annotations

import copy
import re
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]
Selects = Callable[[Json], bool]

_CORE, _RBAC = "v1", "rbac.authorization.k8s.io/v1"
_MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"
_TERM = re.compile(r"([^=!]+)(!?)==?(.*)")


@dataclass(frozen=True)
class Resource:
    """A kind of object that the server serves."""

    api_version: str
    plural: str
    kind: str
    namespaced: bool = True

    def about(self, name: str) -> str:
        """How messages refer to an object: ``networks.kaloom.com "data"``."""
        group, _, version = self.api_version.rpartition("/")
        return f'{self.plural}.{group} "{name}"' if group and version else f'{self.plural} "{name}"'


RESOURCES = (
    Resource(_CORE, "pods", "Pod"),
    Resource(_CORE, "events", "Event"),
    Resource(_CORE, "secrets", "Secret"),
    Resource(_CORE, "serviceaccounts", "ServiceAccount"),
    Resource(_CORE, "nodes", "Node", namespaced=False),
    Resource(_CORE, "namespaces", "Namespace", namespaced=False),
    Resource(_RBAC, "clusterroles", "ClusterRole", namespaced=False),
    Resource(_RBAC, "clusterrolebindings", "ClusterRoleBinding", namespaced=False),
    Resource("kaloom.com/v1", "networks", "Network"),
)


class ApiFailure(Exception):
    """The request is answered with this error instead of an object."""

    def __init__(self, code: int, reason: str, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.code, self.retry_after = code, retry_after
        self.status = {
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": message, "reason": reason, "code": code,
        }  # fmt: skip


@dataclass(frozen=True)
class Change:
    """One entry of the history."""

    version: int
    resource: str
    before: Json | None
    after: Json | None

    def seen_by(self, selects: Selects) -> tuple[str, Json] | None:
        """The event that a watch with this selector sends: an object that stops matching is DELETED to it."""
        was = self.before is not None and selects(self.before)
        if self.after is not None and selects(self.after):
            return ("MODIFIED" if was else "ADDED"), self.after
        if was and self.before is not None:
            return "DELETED", _with_version(self.before, self.version)
        return None


class Store:
    """Objects by resource, namespace and name. Thread-safe; an object is replaced, never changed in place.

    Attributes:
        changed: notified of every change.
        version: of the last change.
    """

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.version = 100
        self._objects: dict[str, dict[tuple[str, str], Json]] = {each.plural: {} for each in RESOURCES}
        self._history: list[Change] = []
        self._pages: dict[str, tuple[int, list[Json]]] = {}
        self._oldest = 0  # a watch can start at this version, not before it
        self._forgotten = 0  # nor can one that runs go on from before this one

    def create(self, obj: Json) -> Json:
        """Creates an object of its ``kind``, in its ``metadata.namespace`` (default ``default``)."""
        resource = next(each for each in RESOURCES if each.kind == obj["kind"])
        own = {"namespace": obj["metadata"].get("namespace", "default")} if resource.namespaced else {}
        made = {"uid": str(uuid.uuid4())} | obj["metadata"] | own | {"creationTimestamp": now()}
        key = made.get("namespace", ""), made["name"]
        with self.changed:
            if key in self._objects[resource.plural]:
                raise ApiFailure(409, "AlreadyExists", f"{resource.about(key[1])} already exists")
            complete = copy.deepcopy({"apiVersion": resource.api_version} | obj | {"metadata": made})
            return self._record(resource.plural, key, complete)

    def get(self, resource: str, namespace: str, name: str) -> Json:
        with self.changed:
            try:
                return self._objects[resource][namespace, name]
            except KeyError:
                about = next(each for each in RESOURCES if each.plural == resource).about(name)
                raise ApiFailure(404, "NotFound", f"{about} not found") from None

    def exists(self, resource: str, namespace: str, name: str) -> bool:
        return (namespace, name) in self._objects[resource]

    def objects(self, resource: str, namespace: str = "") -> list[Json]:
        with self.changed:
            return [obj for (own, _), obj in sorted(self._objects[resource].items()) if namespace in ("", own)]

    def patch(self, resource: str, namespace: str, name: str, patch: Json) -> Json:
        """Merge patch; a ``metadata.resourceVersion`` in it must be that of the object."""
        with self.changed:
            before = self.get(resource, namespace, name)
            after = _merged(before, patch)
            if after["metadata"]["resourceVersion"] != before["metadata"]["resourceVersion"]:
                raise ApiFailure(409, "Conflict", f'Operation cannot be fulfilled on {resource} "{name}": {_MODIFIED}')
            return before if after == before else self._record(resource, (namespace, name), after)

    def delete(self, resource: str, namespace: str, name: str) -> Json:
        """Removes the object at once, and returns what it was last."""
        with self.changed:
            gone = self.get(resource, namespace, name)
            self._record(resource, (namespace, name), None)
            return copy.deepcopy(gone)

    def page(self, resource: str, selects: Selects, limit: int, token: str) -> tuple[int, list[Json], str]:
        """Version and objects of a list, and the token of its next page; all pages are of the version of the first."""
        with self.changed:
            if token and token not in self._pages:
                raise ApiFailure(410, "Expired", "The provided continue parameter is too old")
            first = self.version, [*filter(selects, self.objects(resource))]
            version, objects = self._pages.pop(token) if token else first
            following = uuid.uuid4().hex if limit and objects[limit:] else ""
            if following:
                self._pages[following] = version, objects[limit:]
                objects = objects[:limit]
            return version, objects, following

    def changes_after(self, resource: str, version: int, *, starting: bool = False) -> list[Change]:
        """ApiFailure 410 if that version is too old. As in etcd, a running watch outlives a compaction."""
        with self.changed:
            oldest = self._oldest if starting else self._forgotten
            if version < oldest:
                raise ApiFailure(410, "Expired", f"too old resource version: {version} ({oldest})")
            newer = self._history[max(0, len(self._history) - (self.version - version)) :]
            return [change for change in newer if change.version > version and change.resource == resource]

    def expire_history(self, *, running_watches: bool = False) -> None:
        """Every version and page from before now is too old to start from; `running_watches` get their 410 as well."""
        with self.changed:
            self.version += 1
            self._pages.clear()
            self._oldest = self.version
            if running_watches:
                self._forgotten = self.version
            self.changed.notify_all()

    def _record(self, resource: str, key: tuple[str, str], after: Json | None) -> Json:
        self.version += 1
        before = self._objects[resource].pop(key, None)
        if after is not None:
            after = self._objects[resource][key] = _with_version(after, self.version)
        self._history.append(Change(self.version, resource, before, after))
        self.changed.notify_all()
        return after or {}


def selection(namespace: str, query: dict[str, str]) -> Selects:
    """Whether an object is in the namespace ("" for any), and selected by the fields and labels of the query."""
    terms = []
    for key in ("fieldSelector", "labelSelector"):
        for term in filter(None, query.get(key, "").split(",")):
            found = _TERM.fullmatch(term)
            assert found, f"{key} {term!r}"
            path = found[1].split(".") if key == "fieldSelector" else ["metadata", "labels", found[1]]
            terms.append((path, found[2] == "", found[3]))

    def selects(obj: Json) -> bool:
        in_place = namespace in ("", obj["metadata"].get("namespace", ""))
        return in_place and all((_field(obj, path) == value) is equal for path, equal, value in terms)

    return selects


def now() -> str:
    """The present in the form of the API's timestamps."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _merged(target: Any, patch: Any) -> Any:
    """`target` with a merge patch (RFC 7386) in it: null removes a key, lists are replaced."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = dict(target) if isinstance(target, dict) else {}
    changed = {key: _merged(result.get(key), value) for key, value in patch.items() if value is not None}
    return {key: value for key, value in (result | changed).items() if patch.get(key, value) is not None}


def _field(obj: Any, path: list[str]) -> str:
    for key in path:
        obj = obj.get(key, "") if isinstance(obj, dict) else ""
    return str(obj)


def _with_version(obj: Json, version: int) -> Json:
    return obj | {"metadata": obj["metadata"] | {"resourceVersion": str(version)}}
