"""Which objects may define a network. Pure."""

from __future__ import annotations

from collections.abc import Collection

from podagent.model import DefinitionRef

_FALLBACK_NAMESPACE = "default"


def candidates(
    wanted: DefinitionRef, pod_namespace: str, global_namespaces: Collection[str]
) -> tuple[DefinitionRef, ...]:
    """The definitions that a pod may mean, in the order in which they are looked for.

    Args:
        wanted: if it has a namespace, only that one is searched, else the pod's and then `default`.
        pod_namespace: namespace of the pod, "" if unknown.
        global_namespaces: namespaces whose definitions the pods of every namespace may use.
    """
    fallback = _FALLBACK_NAMESPACE if _FALLBACK_NAMESPACE in global_namespaces else ""
    namespaces = [wanted.namespace] if wanted.namespace else [pod_namespace, fallback]
    return tuple(wanted._replace(namespace=each) for each in dict.fromkeys(namespaces) if each)
