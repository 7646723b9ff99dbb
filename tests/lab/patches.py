"""JSON merge patch (RFC 7386) and the simple operations of JSON patch (RFC 6902). Pure."""

from __future__ import annotations

import copy
from typing import Any

from lab.apierrors import ApiFailure


def merge(target: Any, patch: Any) -> Any:
    """Returns `target` with `patch` merged in: null removes a key, lists are replaced."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key), value)
    return merged


def json_patch(target: Any, operations: Any) -> Any:
    """Applies the operations add, replace, remove and test in order; ApiFailure 422 when one does not apply."""
    if not isinstance(operations, list):
        raise ApiFailure(400, "json patch: a list of operations is expected")
    document = copy.deepcopy(target)
    try:
        for operation in operations:
            _apply(document, operation)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise ApiFailure(422, f"the server rejected our request due to an error in our request: {error!r}") from error
    return document


def _apply(document: Any, operation: dict[str, Any]) -> None:
    *parents, last = [_unescape(token) for token in operation["path"].split("/")[1:]]
    parent = document
    for token in parents:
        parent = parent[_key(parent, token)]
    key = _key(parent, last)
    if operation["op"] == "add":
        _add(parent, key, operation["value"])
    elif operation["op"] == "replace":
        _replace(parent, key, operation["value"])
    elif operation["op"] == "remove":
        del parent[key]
    elif operation["op"] != "test" or parent[key] != operation["value"]:
        raise ValueError(operation["op"])


def _add(parent: Any, key: Any, value: Any) -> None:
    if isinstance(parent, list):
        parent.insert(key, value)
    else:
        parent[key] = value


def _replace(parent: Any, key: Any, value: Any) -> None:
    if not isinstance(parent, list) and key not in parent:
        raise KeyError(key)
    parent[key] = value


def _key(parent: Any, token: str) -> Any:
    if not isinstance(parent, list):
        return token
    return len(parent) if token == "-" else int(token)


def _unescape(token: str) -> str:
    return token.replace("~1", "/").replace("~0", "~")
