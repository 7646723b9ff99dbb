"""Reads network definitions from the API server; `resolve` interprets them."""

from __future__ import annotations

import time
from collections.abc import Callable
from http import HTTPStatus

from podagent.errors import ApiError, DefinitionError
from podagent.foreign import Json
from podagent.kube.api import KubeApi
from podagent.model import DefinitionRef
from podagent.validate import is_dns1123_label, is_dns1123_subdomain

# Many pods may want a network that does not exist. A definition made meanwhile is found by the next try.
_MISSING_S = 1.0
_MOST_MISSING = 4096


class NetworkDefinitions:
    """Network definitions by reference. Not cached; that there is none is remembered for a second."""

    def __init__(self, api: KubeApi, clock: Callable[[], float] = time.monotonic) -> None:
        self._api = api
        self._clock = clock
        self._missing: dict[DefinitionRef, float] = {}

    def read(self, reference: DefinitionRef) -> Json | None:
        """The object, None if it does not exist.

        Raises:
            DefinitionError: the name is invalid.
            ApiError: the API server rejected the request or is unreachable.
        """
        if not is_dns1123_label(reference.namespace) or not is_dns1123_subdomain(reference.name):
            raise DefinitionError(f"network definition {str(reference)!r}: no object can have that name")
        if self._clock() - self._missing.get(reference, -_MISSING_S) < _MISSING_S:
            return None
        try:
            return self._api.get(reference.path)
        except ApiError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                self._remember_missing(reference)
                return None
            raise

    def _remember_missing(self, reference: DefinitionRef) -> None:
        if len(self._missing) >= _MOST_MISSING:
            self._missing.clear()  # a second's worth of names: cheaper to ask again than to search
        self._missing[reference] = self._clock()
