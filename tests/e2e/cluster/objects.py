"""Network definitions in the API server, for `lab.networks`: those of the real one."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from kubernetes import client
from kubernetes.client.exceptions import ApiException

Json = dict[str, Any]

_GROUP, _VERSION = "kaloom.com", "v1"


class Objects:
    """Not by kubectl, which takes longer to start than a case has to wait for."""

    def __init__(self, api: client.ApiClient) -> None:
        self._api = client.CustomObjectsApi(api)

    def create(self, obj: Json) -> None:
        self._api.create_namespaced_custom_object(_GROUP, _VERSION, obj["metadata"]["namespace"], "networks", obj)

    def exists(self, resource: str, namespace: str, name: str) -> bool:
        return _found(lambda: self._api.get_namespaced_custom_object(_GROUP, _VERSION, namespace, resource, name))

    def delete(self, resource: str, namespace: str, name: str) -> None:
        _found(lambda: self._api.delete_namespaced_custom_object(_GROUP, _VERSION, namespace, resource, name))


def _found(call: Callable[[], Any]) -> bool:
    """Whether the object is, or was, there."""
    try:
        call()
    except ApiException as error:
        if error.status != HTTPStatus.NOT_FOUND:
            raise
        return False
    return True
