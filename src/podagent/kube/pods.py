"""Converts a pod object of the API server to `Pod`. Pure.

Tenants, and controllers of other versions, write pod objects: fields may be absent or have unexpected types. An
unexpected type never raises; it counts as absent.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator

from podagent.decide.desired import Unreadable, kept
from podagent.decide.wanted import ANNOTATIONS
from podagent.foreign import Json, json_kind, lenient
from podagent.model import Pod, PodKey
from podagent.validate import is_pod_key, is_uid

MIRROR_ANNOTATION = "kubernetes.io/config.mirror"
# The kubelet uses a hash as the UID of a static pod. Anybody who may create pods can write this annotation: a value
# in the form of a UUID, the UID of an ordinary pod, would let its author act on somebody else's pod.
_ORDINARY_UID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def parse_pod(obj: Json) -> Pod:
    """Converts a JSON object (core/v1 Pod). Never raises; its key is all empty if no pod can have it."""
    metadata, status = lenient(obj, "metadata", dict), lenient(obj, "status", dict)
    annotations = lenient(metadata, "annotations", dict)
    object_uid = lenient(metadata, "uid", str)
    mirror = _mirrored(annotations)
    names = lenient(metadata, "namespace", str), lenient(metadata, "name", str), mirror or object_uid
    return Pod(
        key=PodKey(*names) if is_pod_key(*names) else PodKey("", "", ""),
        object_uid=object_uid,
        annotations=_networks(metadata.get("annotations")),
        phase=lenient(status, "phase", str),
        host_network=lenient(lenient(obj, "spec", dict), "hostNetwork", bool),
        static=bool(mirror),
        incarnation=_incarnation(status),
    )


def _networks(annotations: object) -> dict[str, str]:
    """The annotations that request networks. A value of a wrong type is a fault, never "no networks"."""
    if annotations is None:
        return {}
    if not isinstance(annotations, dict):
        return dict.fromkeys(ANNOTATIONS, Unreadable(f"annotations: {json_kind(annotations)}, not an object"))
    return {key: kept(key, annotations[key]) for key in ANNOTATIONS if annotations.get(key) is not None}


def _mirrored(annotations: Json) -> str:
    """The UID of the static pod that this object mirrors, "" for other pods."""
    uid = lenient(annotations, MIRROR_ANNOTATION, str)
    return "" if _ORDINARY_UID.fullmatch(uid) or not is_uid(uid) else uid


def _incarnation(status: Json) -> str:
    """Changes when a container (re)starts or the pod's address changes; independent of the order of containers."""
    facts = [*sorted(_container_ids(status)), lenient(status, "podIP", str)]
    digest = hashlib.blake2b("\n".join(facts).encode("utf-8", "backslashreplace"), digest_size=8)
    return digest.hexdigest()


def _container_ids(status: Json) -> Iterator[str]:
    for field in ("containerStatuses", "initContainerStatuses"):
        for entry in lenient(status, field, list):
            if container_id := lenient(entry, "containerID", str):
                yield container_id
