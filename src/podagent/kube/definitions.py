"""Owns reading network definitions from the API server; what they mean is decided elsewhere."""

from __future__ import annotations

from podagent.errors import ApiError, DefinitionError
from podagent.kube.api import KubeApi, api_path
from podagent.model import Json
from podagent.validate import is_dns1123_label, is_dns1123_subdomain


class NetworkDefinitions:
    """Network definitions by reference, read afresh every time."""

    def __init__(self, api: KubeApi) -> None:
        self._api = api

    def kaloom(self, namespace: str, name: str) -> Json | None:
        """The object ``networks.kaloom.com/v1`` of that name, None when there is none.

        Raises:
            DefinitionError: no definition can have that name.
            ApiError: the API server refused or cannot be reached.
        """
        if not is_dns1123_label(namespace) or not is_dns1123_subdomain(name):
            raise DefinitionError(f"network definition {namespace!r}/{name!r}: no object can have that name")
        try:
            return self._api.get(api_path("apis", "kaloom.com", "v1", "namespaces", namespace, "networks", name))
        except ApiError as error:
            if error.status == 404:
                return None
            raise
