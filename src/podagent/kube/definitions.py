"""Reads network definitions from the API server; `resolve` interprets them."""

from __future__ import annotations

from http import HTTPStatus

from podagent.errors import ApiError, DefinitionError
from podagent.foreign import Json
from podagent.kube.api import KubeApi
from podagent.model import DefinitionRef
from podagent.validate import is_dns1123_label, is_dns1123_subdomain


class NetworkDefinitions:
    """Network definitions by reference. Not cached."""

    def __init__(self, api: KubeApi) -> None:
        self._api = api

    def read(self, reference: DefinitionRef) -> Json | None:
        """The object, None if it does not exist.

        Raises:
            DefinitionError: the name is invalid.
            ApiError: the API server rejected the request or is unreachable.
        """
        if not is_dns1123_label(reference.namespace) or not is_dns1123_subdomain(reference.name):
            raise DefinitionError(f"network definition {str(reference)!r}: no object can have that name")
        try:
            return self._api.get(reference.path)
        except ApiError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return None
            raise
