"""The pods of one node, as the API server lists, watches and has them. Keeps no state."""

from __future__ import annotations

from http import HTTPStatus

from podagent.errors import ApiError, PodNotGone
from podagent.foreign import Json
from podagent.kube.api import KubeApi, api_path
from podagent.kube.feed import Feed
from podagent.kube.pods import parse_pod
from podagent.model import Pod, PodKey

PODS = "/api/v1/pods"


def pods_of(node: str) -> Feed[Pod]:
    """The pods of a node that have not ended."""
    selector = f"spec.nodeName={node},status.phase!=Succeeded,status.phase!=Failed"
    return Feed(PODS, "pods", ("Pod",), _possible_pod, selector)


def confirm_gone(api: KubeApi, key: PodKey) -> None:
    """Asks for one pod by name. Returns if it is gone: not found, ended, or replaced by another one of its name.

    Raises:
        PodNotGone: it exists.
        ApiError: there is no answer, or it is not about this pod.
    """
    path = api_path("api", "v1", "namespaces", key.namespace, "pods", key.name)
    try:
        answer = api.get(path)
    except ApiError as error:
        if error.status == HTTPStatus.NOT_FOUND:
            return
        raise
    pod = parse_pod(answer)
    if answer.get("kind") != "Pod" or pod.key[:2] != key[:2]:
        raise ApiError(f"GET {path}: the answer is not this pod")
    if pod.key == key and not pod.ended:
        raise PodNotGone(f"the API server no longer lists pod {key} for this node, but still has it: its networks stay")


def _possible_pod(obj: Json) -> Pod:
    pod = parse_pod(obj)
    if not all(pod.key):
        raise ValueError("an item has no valid namespace, name or UID")
    return pod
