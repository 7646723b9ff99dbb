"""Looks up a network definition in the permitted namespaces, in order. Pure; the caller supplies the reader."""

from __future__ import annotations

from collections.abc import Callable, Collection

from podagent.errors import DefinitionError
from podagent.foreign import Json
from podagent.model import DefinitionRef

_FALLBACK_NAMESPACE = "default"

Read = Callable[[DefinitionRef], "Json | None"]
"""Reads the object from the API server, None if it does not exist. Passes on the reader's errors."""


def find(
    wanted: DefinitionRef, pod_namespace: str, global_namespaces: Collection[str], read: Read
) -> tuple[DefinitionRef, Json]:
    """The definition, and the reference it was found under.

    Args:
        wanted: if it has a namespace, only that one is searched, else the pod's and then `default`.
        pod_namespace: namespace of the pod, "" if unknown.
        global_namespaces: namespaces whose definitions the pods of every namespace may use.
        read: reads one object.

    Raises:
        DefinitionError: it does not exist.
    """
    fallback = _FALLBACK_NAMESPACE if _FALLBACK_NAMESPACE in global_namespaces else ""
    candidates = [wanted.namespace] if wanted.namespace else [pod_namespace, fallback]
    namespaces = list(dict.fromkeys(namespace for namespace in candidates if namespace))
    for namespace in namespaces:
        reference = wanted._replace(namespace=namespace)
        definition = read(reference)
        if definition is not None:
            return reference, definition
    places = f"namespace {' or '.join(namespaces)}" if namespaces else "any namespace: the pod's is not known"
    raise DefinitionError(f"network {wanted.name} is not defined: no {wanted.api} object of that name in {places}")
