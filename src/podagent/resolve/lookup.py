"""Looks up a network definition in the permitted namespaces, in order. Pure; the caller supplies the reader."""

from __future__ import annotations

from collections.abc import Callable, Collection

from podagent.decide.candidates import candidates
from podagent.errors import DefinitionError
from podagent.foreign import Json
from podagent.model import DefinitionRef

Read = Callable[[DefinitionRef], "Json | None"]
"""Reads the object from the API server, None if it does not exist. Passes on the reader's errors."""


def find(
    wanted: DefinitionRef, pod_namespace: str, global_namespaces: Collection[str], read: Read
) -> tuple[DefinitionRef, Json]:
    """The definition, and the reference it was found under, the first of `candidates`.

    Args:
        wanted, pod_namespace, global_namespaces: as for `candidates`.
        read: reads one object.

    Raises:
        DefinitionError: it does not exist.
    """
    references = candidates(wanted, pod_namespace, global_namespaces)
    for reference in references:
        definition = read(reference)
        if definition is not None:
            return reference, definition
    namespaces = " or ".join(each.namespace for each in references)
    places = f"namespace {namespaces}" if namespaces else "any namespace: the pod's is not known"
    raise DefinitionError(f"network {wanted.name} is not defined: no {wanted.api} object of that name in {places}")
