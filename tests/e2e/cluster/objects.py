"""Network definitions in the API server, for `lab.networks`: those of the real one."""

from __future__ import annotations

from typing import Any

from kubernetes import client

_KIND = ("kaloom.com", "v1")


class Objects:
    """Not by kubectl, which takes longer to start than a case has to wait for."""

    def __init__(self, api: client.ApiClient) -> None:
        self._api = client.CustomObjectsApi(api)

    def create(self, obj: dict[str, Any]) -> None:
        self._api.create_namespaced_custom_object(*_KIND, obj["metadata"]["namespace"], "networks", obj)

    def exists(self, resource: str, namespace: str, name: str) -> bool:
        found = self._api.list_namespaced_custom_object(*_KIND, namespace, resource)["items"]
        return any(each["metadata"]["name"] == name for each in found)

    def delete(self, resource: str, namespace: str, name: str) -> None:
        self._api.delete_namespaced_custom_object(*_KIND, namespace, resource, name)
