"""Tells whether a node of this node's name is registered: under a wrong name the agent would wait for pods forever."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Callable, Sequence
from http import HTTPStatus

from podagent.errors import ApiError
from podagent.foreign import lenient
from podagent.kube.api import KubeApi, api_path
from podagent.messages import Message
from podagent.validate import is_dns1123_subdomain

_log = logging.getLogger(__name__)

_NODES = api_path("api", "v1", "nodes")
_MOST_NODES = "500"
_MOST_SHOWN = 3


class Registration:
    """Looks for the node's object until it was found once.

    Attributes:
        doubt: why the name may be wrong, "" if it is not doubted.
    """

    def __init__(self, api: KubeApi, node: str, changed: Callable[[], None]) -> None:
        """`changed`: called after `doubt` has changed."""
        self._api = api
        self._node = node
        self._changed = changed
        self._status = 0
        self.doubt = ""

    def check(self) -> None:
        """Asks the API server. Raises KubeconfigError."""
        if self._status == HTTPStatus.OK:
            return
        try:
            self._api.get(f"{_NODES}/{self._node}")
        except ApiError as error:
            self._doubt(error)
        else:
            self._status = HTTPStatus.OK
            self._set_doubt("")

    def _doubt(self, error: ApiError) -> None:
        if error.status == self._status:
            return
        if error.status == HTTPStatus.NOT_FOUND:
            names = f"its name in `kubectl get nodes`{self._suggested()}"
            self._set_doubt(f"no node {self._node} is registered: set node to {names}")
        elif error.status == HTTPStatus.FORBIDDEN:
            remedy = "apply podagent-serviceaccount-and-rbac.yaml of this version"
            self._set_doubt(f"nothing shows that a node {self._node} is registered: {error}; {remedy}")
        else:
            return  # no answer: the watch reports that
        self._status = error.status

    def _set_doubt(self, doubt: str) -> None:
        if doubt == self.doubt:
            return
        self.doubt = doubt
        if doubt:
            _log.warning("there are no pods, and %s", doubt, extra=Message.NODE_UNKNOWN.field)
        else:
            _log.info("node %s is registered", self._node)
        self._changed()

    def _suggested(self) -> str:
        try:
            nodes = lenient(self._api.get(_NODES, [("limit", _MOST_NODES)]), "items", list)
        except ApiError:
            return ""
        names = [lenient(lenient(each, "metadata", dict), "name", str) for each in nodes]
        fits = fitting(self._node, [name for name in names if is_dns1123_subdomain(name)])
        return f", such as {' or '.join(fits)}" if fits else ""


def fitting(node: str, names: Sequence[str]) -> list[str]:
    """The registered names that may be meant by `node`: the same host with or without its domain, or similar ones."""
    host = node.partition(".")[0]
    same = [name for name in names if name.partition(".")[0] == host]
    return same[:_MOST_SHOWN] or difflib.get_close_matches(node, names, _MOST_SHOWN)
