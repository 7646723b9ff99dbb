"""Kaloom's dialect: the ``networks`` annotation, a JSON list of objects. Pure; the input is untrusted.

It parses only; `plan` compares the result with the records.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

from podagent.decide.desired import Desired, Dialect
from podagent.decide.dialects.kaloom_names import ANNOTATION, attachment, interface_name
from podagent.decide.order import attach_order
from podagent.errors import AnnotationError
from podagent.foreign import json_kind, shown
from podagent.model import Attachment
from podagent.validate import is_dns1123_label, is_dns1123_subdomain, is_mac

_FIELDS = frozenset({"name", "ifMac", "isPrimary", "podagentSkip", "namespace", "upperLayers"})
_MOST_PROBLEMS = 20
# Far more than any pod needs. Each entry costs API requests and plugin runs, even if it fails.
_MOST_ENTRIES = 512


class Entries(NamedTuple):
    """The parsed list.

    Attributes:
        attachments: all valid entries, lower layers first.
        primaries: interface names of the entries with ``isPrimary``.
        skipped: interface names of the entries with ``podagentSkip``.
        faulty: interface names of the invalid entries.
        nameless: at least one entry, or the whole annotation, identifies no network.
        problems: one message per fault.
    """

    attachments: tuple[Attachment, ...] = ()
    primaries: frozenset[str] = frozenset()
    skipped: frozenset[str] = frozenset()
    faulty: frozenset[str] = frozenset()
    nameless: bool = False
    problems: tuple[str, ...] = ()


def read(text: str, pod_namespace: str, global_namespaces: Collection[str]) -> Desired:
    """Parses the annotation for the agent, which leaves primary, skipped and faulty entries alone."""
    entries = read_entries(text, pod_namespace, global_namespaces)
    held = entries.primaries | entries.skipped | entries.faulty
    return Desired(
        attachments=tuple(each for each in entries.attachments if each.ifname not in held),
        held=held,
        hold_all=entries.nameless,
        problems=entries.problems,
    )


def read_entries(text: str | None, pod_namespace: str, global_namespaces: Collection[str]) -> Entries:
    """Parses the annotation. Never raises.

    Args:
        text: value of the annotation; None or blank requests no networks.
        pod_namespace: namespace of the pod, whose definitions it may use.
        global_namespaces: further namespaces whose definitions it may use.
    """
    if text is None or not text.strip():
        return Entries()
    try:
        entries = _decode(text)
    except AnnotationError as error:
        return Entries(nameless=True, problems=(str(error),))
    reading = _Reading({pod_namespace, *global_namespaces})
    for index, entry in enumerate(entries):
        reading.read(index, entry)
    reading.require_layers()
    ordered, cycle = attach_order(list(reading.entries.values()))
    if cycle:
        reading.problems.append("networks: upperLayers form a cycle; its members are attached in the order given")
    return Entries(
        attachments=tuple(ordered),
        primaries=frozenset(reading.primaries),
        skipped=frozenset(reading.skipped),
        faulty=frozenset(reading.faulty),
        nameless=reading.nameless,
        problems=_bounded(reading.problems),
    )


DIALECT = Dialect(ANNOTATION, read)


class _Reading:
    """Accumulates the result of one pass over the list."""

    def __init__(self, namespaces: Collection[str]) -> None:
        """`namespaces`: those whose definitions the pod may use."""
        self._namespaces = namespaces
        self.entries: dict[str, Attachment] = {}
        self.primaries: set[str] = set()
        self.skipped: set[str] = set()
        self.faulty: set[str] = set()
        self.problems: list[str] = []
        self.nameless = False
        self._layers: list[tuple[str, str]] = []

    def read(self, index: int, entry: Any) -> None:
        where = f"networks[{index}]"
        try:
            name = _name_of(where, entry)
        except AnnotationError as error:
            self.problems.append(str(error))
            self.nameless = True  # the network it refers to may be attached right now
            return
        where = f"{where} ({name})"
        ifname = interface_name(name)
        if ifname in self.entries or ifname in self.faulty:
            self.problems.append(f"{where}: listed twice; the first entry counts")
            return
        self.problems.extend(f"{where}: unknown field {shown(key)} is ignored" for key in entry if key not in _FIELDS)
        try:
            self._read_fields(where, name, entry)
        except AnnotationError as error:
            self.problems.append(str(error))
            self.faulty.add(ifname)

    def require_layers(self) -> None:
        """Reports the layers that are no network of the pod, once all entries are read."""
        listed = self.entries.keys() | self.faulty
        for where, name in self._layers:
            if interface_name(name) not in listed:
                self.problems.append(f"{where}: upperLayers: {name} is no network of this pod: it has no effect")

    def _read_fields(self, where: str, name: str, entry: dict[str, Any]) -> None:
        primary, skipped = (_flag(where, entry, key) for key in ("isPrimary", "podagentSkip"))
        layers = tuple(_upper_layers(where, entry.get("upperLayers")))
        wanted = attachment(
            name,
            _namespace(where, entry.get("namespace"), self._namespaces),
            _mac(where, entry.get("ifMac")),
            layers,
        )
        self._layers += [(where, layer) for layer in layers]
        self.entries[wanted.ifname] = wanted
        if primary:
            self.primaries.add(wanted.ifname)
        if skipped:
            self.skipped.add(wanted.ifname)


def _decode(text: str) -> list[Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise AnnotationError(f"annotation networks is not valid JSON ({error}): {shown(text)}") from None
    if not isinstance(value, list):
        raise AnnotationError(
            f"annotation networks must be a JSON list of objects, not {json_kind(value)}: {shown(text)}"
        )
    if len(value) > _MOST_ENTRIES:
        raise AnnotationError(f"annotation networks has {len(value)} entries, more than the {_MOST_ENTRIES} allowed")
    return value


def _name_of(where: str, entry: Any) -> str:
    if not isinstance(entry, dict):
        raise AnnotationError(f"{where}: must be an object with a name, not {json_kind(entry)}: {shown(entry)}")
    if "name" not in entry:
        raise AnnotationError(f"{where}: has no name: {shown(entry)}")
    name = entry["name"]
    if not isinstance(name, str) or not is_dns1123_subdomain(name):
        raise AnnotationError(f"{where}: name {shown(name)} is not the name of a network (DNS-1123 subdomain)")
    return name


def _flag(where: str, entry: dict[str, Any], key: str) -> bool:
    value = entry.get(key)
    if value is None:
        return False
    if not isinstance(value, bool):
        raise AnnotationError(f"{where}: {key} must be true or false, not {shown(value)}")
    return value


def _namespace(where: str, value: Any, namespaces: Collection[str]) -> str:
    if value is None or value == "":
        return ""
    if not isinstance(value, str) or not is_dns1123_label(value):
        raise AnnotationError(f"{where}: namespace {shown(value)} is not the name of a namespace")
    if value not in namespaces:
        raise AnnotationError(
            f"{where}: networks of namespace {value} may not be used from this pod (see the setting global-namespaces)"
        )
    return value


def _mac(where: str, value: Any) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str) or not is_mac(value):
        raise AnnotationError(f"{where}: ifMac {shown(value)} is not a unicast MAC address such as 02:00:00:00:00:01")
    return value.lower()


def _upper_layers(where: str, value: Any) -> Iterator[str]:
    if value is None:
        return
    if not isinstance(value, list):
        raise AnnotationError(f"{where}: upperLayers must be a list of network names, not {shown(value)}")
    for name in value:
        if not isinstance(name, str) or not is_dns1123_subdomain(name):
            raise AnnotationError(f"{where}: upperLayers holds {shown(name)}, which is not the name of a network")
        yield name


def _bounded(problems: list[str]) -> tuple[str, ...]:
    left_out = len(problems) - _MOST_PROBLEMS
    more = (f"networks: {left_out} more faults are not shown",) if left_out > 0 else ()
    return (*problems[:_MOST_PROBLEMS], *more)
