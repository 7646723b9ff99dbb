"""Field and label selectors, as the API server reads them. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from lab.apierrors import ApiFailure

Json = dict[str, Any]
Predicate = Callable[[Json], bool]

COMMON_FIELDS = frozenset({"metadata.name", "metadata.namespace"})
_TERM = re.compile(r"\s*([^=!\s]+)\s*(==|!=|=)\s*([^\s]*)\s*")


def field_predicate(text: str, supported: Iterable[str]) -> Predicate:
    """Parses a field selector; ApiFailure 400 for a field the resource cannot be selected by."""
    terms = _terms(text)
    for path, _, _ in terms:
        if path not in supported:
            raise ApiFailure(400, f'Unable to find field selector "{path}": field label not supported: {path}')
    return lambda obj: all((_field(obj, path) == value) is equal for path, equal, value in terms)


def label_predicate(text: str) -> Predicate:
    """Parses the equality form of a label selector; the others are refused."""
    terms = _terms(text)

    def selects(obj: Json) -> bool:
        labels = obj.get("metadata", {}).get("labels") or {}
        return all((labels.get(key) == value) is equal for key, equal, value in terms)

    return selects


def _terms(text: str) -> list[tuple[str, bool, str]]:
    found = []
    for part in filter(None, text.split(",")):
        match = _TERM.fullmatch(part)
        if match is None:
            raise ApiFailure(400, f"unable to parse requirement: {part!r}")
        found.append((match[1], match[2] != "!=", match[3]))
    return found


def _field(obj: Json, path: str) -> str:
    value: Any = obj
    for key in path.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return "" if value is None else str(value)
