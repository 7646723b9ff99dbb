"""Finds a network definition: in which namespaces, and in which order. Pure; the reading is the caller's."""

from __future__ import annotations

from collections.abc import Callable, Collection

from podagent.errors import DefinitionError
from podagent.foreign import Json
from podagent.model import DefinitionRef

_FALLBACK_NAMESPACE = "default"

Read = Callable[[DefinitionRef], "Json | None"]
"""Reads the object from the API server; None when there is none. Raises what the reader raises."""


def find(
    wanted: DefinitionRef, pod_namespace: str, global_namespaces: Collection[str], read: Read
) -> tuple[DefinitionRef, Json]:
    """The definition, and where it was found.

    Args:
        wanted: with a namespace it is looked for only there, else in the pod's and then in `default`.
        pod_namespace: the pod's, "" if it is not known.
        global_namespaces: those whose definitions the pods of every namespace may use.
        read: reads one object.

    Raises:
        DefinitionError: there is none.
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
