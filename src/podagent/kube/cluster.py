"""Refuses the API server of another cluster: its list of pods would empty this node.

A cluster is identified by the UID of its namespace kube-system, which is created once and never deleted.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Protocol

from podagent.errors import ApiError, OtherCluster, StoreError
from podagent.foreign import Json, excerpt, lenient

_log = logging.getLogger(__name__)

KUBE_SYSTEM = "/api/v1/namespaces/kube-system"
_LONGEST_UID = 64
_REMEDY = "correct the kubeconfig; or run `podagent forget --cluster`, if this node has moved to that cluster"


class Memory(Protocol):
    """The cluster of this node. Both methods raise StoreError."""

    def read(self) -> str: ...

    def write(self, uid: str) -> None: ...


class ClusterGuard:
    """Compares the cluster of an API server with the one that this node belongs to."""

    def __init__(self, memory: Memory, has_attachments: Callable[[], bool], accept: bool) -> None:
        """`accept`: another cluster is accepted. Without attachments it always is: there is nothing to lose."""
        self._memory = memory
        self._has_attachments = has_attachments
        self._accept = accept
        self._warned = False

    def check(self, get: Callable[[str], Json]) -> None:
        """Asks the server, by `get`, which cluster it serves.

        Raises:
            OtherCluster: it is another one, or the server does not show it although the cluster is known.
            ApiError: there is no answer.
        """
        try:
            known = self._memory.read()
            uid = self._ask(get, known)
            if not uid or uid == known:
                return
            if self._must_stay_in(known):
                raise OtherCluster(
                    "the API server is of another cluster than this node's attachments: its namespace kube-system has"
                    f" UID {uid}, theirs has {known}. Nothing is changed; {_REMEDY}"
                )
            self._memory.write(uid)
        except StoreError as error:
            raise ApiError(f"cannot tell the cluster of the API server: {error}") from error
        if known:
            _log.warning("this node has moved from the cluster whose kube-system has UID %s to that of %s", known, uid)

    def _ask(self, get: Callable[[str], Json], known: str) -> str:
        """The UID of kube-system; "" if the server does not show it, and never has."""
        try:
            answer = get(KUBE_SYSTEM)
        except ApiError as error:
            if error.status not in (HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND):
                raise
            if self._must_stay_in(known):
                raise OtherCluster(
                    f"the API server does not show that it is of this node's cluster ({error}). Nothing is changed;"
                    f" let podagent get the namespace kube-system (its manifest does), or {_REMEDY}"
                ) from error
            self._warn(error)
            return ""
        uid = lenient(lenient(answer, "metadata", dict), "uid", str)
        if answer.get("kind") != "Namespace" or not uid:
            raise ApiError(f"GET {KUBE_SYSTEM}: the answer is not a namespace")
        return excerpt(uid, _LONGEST_UID)

    def _must_stay_in(self, known: str) -> bool:
        """Whether this node has something to lose in its cluster."""
        return bool(known) and self._has_attachments() and not self._accept

    def _warn(self, error: ApiError) -> None:
        if not self._warned:
            self._warned = True
            _log.warning(
                "clusters cannot be told apart: %s; apply podagent-serviceaccount-and-rbac.yaml of this version", error
            )
