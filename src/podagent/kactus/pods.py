"""The API requests of kactus: a pod's annotation and a network's definition, one GET each.

The agent's client library takes longer to import than everything else in a call.
"""

from __future__ import annotations

import time
from urllib.parse import quote

from podagent.decide.dialects.kaloom_names import ANNOTATION
from podagent.foreign import Json, lenient
from podagent.kactus.credentials import load_credentials
from podagent.kactus.failure import TRY_AGAIN_LATER, Failure
from podagent.kactus.requests import NotReached, get_json
from podagent.kubeconfig.reader import Credentials
from podagent.model import DefinitionRef

_PAUSES_S = (0.5, 1.0, 2.0)


class Cluster:
    """The API server. The first request loads the credentials."""

    def __init__(self, kubeconfig: str, pauses_s: tuple[float, ...] = _PAUSES_S) -> None:
        """`pauses_s`: delays between attempts to reach a server that does not respond."""
        self._kubeconfig = kubeconfig
        self._pauses_s = pauses_s
        self._credentials: Credentials | None = None

    def annotation(self, namespace: str, pod: str) -> str | None:
        """The ``networks`` annotation of a pod, None without one. Raises Failure (code 11, also without a pod)."""
        found = self._get(f"/api/v1/namespaces/{quote(namespace)}/pods/{quote(pod)}")
        if found is None:
            raise Failure(TRY_AGAIN_LATER, f"pod {namespace}/{pod} is not known to the API server")
        value = lenient(lenient(found, "metadata", dict), "annotations", dict).get(ANNOTATION)
        return value if isinstance(value, str) else None

    def definition(self, reference: DefinitionRef) -> Json | None:
        """The network definition, None if it does not exist. Raises Failure (code 11)."""
        return self._get(reference.path)

    def _get(self, path: str) -> Json | None:
        if self._credentials is None:
            self._credentials = load_credentials(self._kubeconfig)
        return _get_with_retries(self._credentials, path, self._pauses_s)


def _get_with_retries(credentials: Credentials, path: str, pauses_s: tuple[float, ...]) -> Json | None:
    try:
        return get_json(credentials, path)
    except NotReached as fault:
        if not pauses_s:
            raise Failure(TRY_AGAIN_LATER, f"GET {path}: {fault}") from None
    pause_s, *rest = pauses_s
    time.sleep(pause_s)
    return _get_with_retries(credentials, path, tuple(rest))
