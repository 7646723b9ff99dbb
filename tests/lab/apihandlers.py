"""What the API stand-in answers: one function per verb, from target and query to the object that goes back. No I/O."""

from __future__ import annotations

import base64
import json
from typing import Any

from lab.apierrors import ApiFailure
from lab.apirequest import Request, Target, selects
from lab.apistore import PODS, Store, merged

Json = dict[str, Any]

_MERGES = ("application/merge-patch+json", "application/strategic-merge-patch+json")


def answer(store: Store, request: Request, target: Target, content_type: str) -> tuple[int, Json]:
    """HTTP status and object for every verb but watch."""
    if request.verb == "list":
        return 200, list_page(store, request, target)
    if request.verb == "create" and not target.name:
        return 201, store.create(target.resource, target.namespace, _object(request))
    if not target.name:
        raise ApiFailure(405, "the server does not allow this method on the requested resource")
    if request.verb == "get":
        return 200, store.get(target.resource, target.namespace, target.name)
    if request.verb == "delete":
        return 200, _delete(store, request, target)
    return 200, _write(store, request, target, content_type)


def list_page(store: Store, request: Request, target: Target) -> Json:
    """A list, or one page of it, from a consistent version."""
    chosen = selects(request.query, target)
    limit = int(request.query.get("limit") or 0)
    token = request.query.get("continue", "")
    if token:
        version, start = _open_token(token)
        everything = store.recall(target.resource, version)
    else:
        everything, version = store.snapshot(target.resource)
        start = 0
        if request.query.get("resourceVersion") == "0":
            limit = 0  # the real server answers from its watch cache then, in one piece
    matching = [obj for obj in everything if chosen(obj)]
    metadata: Json = {"resourceVersion": str(version)}
    end = start + limit if limit else len(matching)
    if end < len(matching):
        store.remember(target.resource, version, everything)
        metadata["continue"] = _token(version, end)
        if not request.query.get("fieldSelector") and not request.query.get("labelSelector"):
            metadata["remainingItemCount"] = len(matching) - end
    resource = target.resource
    items = [_as_item(obj, builtin=not resource.group) for obj in matching[start:end]]
    return {"kind": f"{resource.kind}List", "apiVersion": resource.api_version, "metadata": metadata, "items": items}


def _as_item(obj: Json, *, builtin: bool) -> Json:
    """Items of built-in lists come without kind and apiVersion; those of custom resources with them."""
    return {key: value for key, value in obj.items() if not builtin or key not in ("kind", "apiVersion")}


def _token(version: int, start: int) -> str:
    return base64.urlsafe_b64encode(json.dumps({"rv": version, "start": start}).encode()).decode().rstrip("=")


def _open_token(token: str) -> tuple[int, int]:
    try:
        fields = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        return int(fields["rv"]), int(fields["start"])
    except (ValueError, KeyError, TypeError) as error:
        raise ApiFailure(400, "continue key is not valid") from error


def _object(request: Request) -> Json:
    if not isinstance(request.body, dict):
        raise ApiFailure(400, "the object provided is unrecognized (must be of type JSON object)")
    return request.body


def _delete(store: Store, request: Request, target: Target) -> Json:
    gone = store.delete(target.resource, target.namespace, target.name)
    if target.resource == PODS:
        return gone
    details = {"name": target.name, "kind": target.resource.plural, "uid": gone["metadata"]["uid"]}
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}


def _write(store: Store, request: Request, target: Target, content_type: str) -> Json:
    strategic_on_custom = content_type == _MERGES[1] and target.resource.group
    if request.verb != "patch" or strategic_on_custom or content_type not in _MERGES:
        accepted = f"accepted media types: {_MERGES[0]}"
        raise ApiFailure(415, f"the body of the request was in an unknown format - {accepted}")
    return store.edit(
        target.resource, target.namespace, target.name, lambda obj: merged(obj, request.body), target.part
    )
