"""Objects in the API server, as JSON: what `lab.networks` asks for, of the real one."""

from __future__ import annotations

import json
from typing import Any

from cluster.cluster import Cluster

Json = dict[str, Any]


class Objects:
    """By kubectl."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def create(self, obj: Json) -> None:
        self._cluster.kubectl("create", "-f", "-", stdin=json.dumps(obj))

    def exists(self, resource: str, namespace: str, name: str) -> bool:
        return bool(
            self._cluster.kubectl("get", _known(resource), name, "-n", namespace, "--ignore-not-found", "-o", "name")
        )

    def delete(self, resource: str, namespace: str, name: str) -> None:
        self._cluster.kubectl("delete", _known(resource), name, "-n", namespace, "--ignore-not-found")


def _known(plural: str) -> str:
    return "networks.kaloom.com" if plural == "networks" else plural
