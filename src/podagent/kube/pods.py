"""Owns the way from a pod object as the API server sends it to the few fields in use. Pure.

A pod's content is written by tenants and by controllers of other versions, so every field may be absent or of another
type than expected; that never raises, it reads as if the field were absent.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import Any

from podagent.model import Json, Pod, PodKey

NETWORKS_ANNOTATION = "networks"
MIRROR_ANNOTATION = "kubernetes.io/config.mirror"
# The kubelet names a static pod after a hash. Anybody who may create pods can write the annotation, so that one
# which names a UUID, the UID of an ordinary pod, would let its author act on somebody else's pod.
_ORDINARY_UID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def parse_pod(obj: Json) -> Pod:
    """The pod in a JSON object (core/v1 Pod). Never raises; absent names are empty strings."""
    metadata, status = _mapping(obj, "metadata"), _mapping(obj, "status")
    annotations = _mapping(metadata, "annotations")
    object_uid = _text(metadata, "uid")
    mirror = _mirrored(annotations)
    networks = annotations.get(NETWORKS_ANNOTATION)
    return Pod(
        key=PodKey(_text(metadata, "namespace"), _text(metadata, "name"), mirror or object_uid),
        object_uid=object_uid,
        networks=networks if isinstance(networks, str) else None,
        phase=_text(status, "phase"),
        host_network=_mapping(obj, "spec").get("hostNetwork") is True,
        static=bool(mirror),
        incarnation=_incarnation(status),
    )


def _mirrored(annotations: Json) -> str:
    """UID of the static pod that this object mirrors, "" for every other pod."""
    uid = _text(annotations, MIRROR_ANNOTATION)
    return "" if _ORDINARY_UID.fullmatch(uid) else uid


def _incarnation(status: Json) -> str:
    """Differs after a container was (re)started or the pod got another address; order of containers is no matter."""
    facts = [*sorted(_container_ids(status)), _text(status, "podIP")]
    digest = hashlib.blake2b("\n".join(facts).encode("utf-8", "backslashreplace"), digest_size=8)
    return digest.hexdigest()


def _container_ids(status: Json) -> Iterator[str]:
    for field in ("containerStatuses", "initContainerStatuses"):
        entries = status.get(field)
        if not isinstance(entries, list):
            continue
        for entry in entries:
            if isinstance(entry, dict) and (container_id := _text(entry, "containerID")):
                yield container_id


def _mapping(parent: Json, key: str) -> dict[str, Any]:
    value = parent.get(key)
    return value if isinstance(value, dict) else {}


def _text(parent: Json, key: str) -> str:
    value = parent.get(key)
    return value if isinstance(value, str) else ""
