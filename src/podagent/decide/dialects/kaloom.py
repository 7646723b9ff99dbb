"""What a pod wants, read from its ``networks`` annotation. Pure; the annotation's bytes are hostile.

Nothing here knows what is attached: that comparison is `plan`'s.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

from podagent.decide.order import attach_order
from podagent.errors import AnnotationError
from podagent.model import Attachment, interface_name
from podagent.validate import is_dns1123_label, is_dns1123_subdomain, is_mac

_FIELDS = frozenset({"name", "ifMac", "isPrimary", "podagentSkip", "namespace", "upperLayers"})
_SHOWN = 80
_MOST_PROBLEMS = 20
# Far above what any pod has; each entry costs requests to the API server and plugin runs, also when it fails.
_MOST_ENTRIES = 512


class Desired(NamedTuple):
    """The attachments a pod wants, and what must not be touched because its entry could not be understood.

    Attributes:
        attachments: to be attached, lower layers first.
        held: interface names that are left as they are: the entry is faulty, or asks the agent to keep off.
        hold_all: nothing may be detached: a fault hides what was wanted.
        entries: every entry that could be understood, those that the agent leaves alone included, lower layers first.
        primaries: interface names of the entries that are ``isPrimary``.
        problems: one message for each fault, for the user; at most so many that nobody floods the journal with them.
    """

    attachments: tuple[Attachment, ...] = ()
    held: frozenset[str] = frozenset()
    hold_all: bool = False
    problems: tuple[str, ...] = ()
    entries: tuple[Attachment, ...] = ()
    primaries: tuple[str, ...] = ()

    @property
    def faulty(self) -> bool:
        """Whether an entry, or all of it, could not be understood."""
        return self.hold_all or not self.held <= {entry.ifname for entry in self.entries}


class _Reading:
    """The accumulator of one pass over the list."""

    def __init__(self) -> None:
        self.entries: dict[str, Attachment] = {}
        self.primaries: list[str] = []
        self.held: set[str] = set()
        self.problems: list[str] = []
        self.hold_all = False


def read_annotation(text: str | None, pod_namespace: str, global_namespaces: Collection[str]) -> Desired:
    """Reads the ``networks`` annotation.

    Args:
        text: the annotation's value; None or blank means that no networks are wanted.
        pod_namespace: definitions of this namespace may be used,
        global_namespaces: and those of these.

    Returns:
        Always a `Desired`: faults are reported in it, never raised, so that valid entries are still served.
    """
    if text is None or not text.strip():
        return Desired()
    try:
        entries = _decode(text)
    except AnnotationError as error:
        return Desired(hold_all=True, problems=(str(error),))
    reading = _Reading()
    for index, entry in enumerate(entries):
        _read_entry(reading, index, entry, {pod_namespace, *global_namespaces})
    ordered, cycle = attach_order(list(reading.entries.values()))
    if cycle:
        reading.problems.append("networks: upperLayers form a cycle; its members are attached in the order given")
    return Desired(
        attachments=tuple(entry for entry in ordered if entry.ifname not in reading.held),
        held=frozenset(reading.held),
        hold_all=reading.hold_all,
        problems=_bounded(reading.problems),
        entries=tuple(ordered),
        primaries=tuple(reading.primaries),
    )


def _decode(text: str) -> list[Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise AnnotationError(f"annotation networks is not valid JSON ({error}): {_show(text)}") from None
    if not isinstance(value, list):
        raise AnnotationError(f"annotation networks must be a JSON list of objects, not {_kind(value)}: {_show(text)}")
    if len(value) > _MOST_ENTRIES:
        raise AnnotationError(f"annotation networks has {len(value)} entries, more than the {_MOST_ENTRIES} allowed")
    return value


def _read_entry(reading: _Reading, index: int, entry: Any, namespaces: Collection[str]) -> None:
    where = f"networks[{index}]"
    try:
        name = _name_of(where, entry)
    except AnnotationError as error:
        reading.problems.append(str(error))
        reading.hold_all = True  # whatever this entry meant, it may be attached right now
        return
    where = f"{where} ({name})"
    ifname = interface_name(name)
    if ifname in reading.entries or ifname in reading.held:
        reading.problems.append(f"{where}: listed twice; the first entry counts")
        return
    reading.problems.extend(f"{where}: unknown field {_show(key)} is ignored" for key in entry if key not in _FIELDS)
    try:
        primary, skipped = (_flag(where, entry, key) for key in ("isPrimary", "podagentSkip"))
        reading.entries[ifname] = _attachment(where, name, entry, namespaces)
    except AnnotationError as error:
        reading.problems.append(str(error))
        reading.held.add(ifname)
        return
    if primary:
        reading.primaries.append(ifname)
    if primary or skipped:
        reading.held.add(ifname)


def _name_of(where: str, entry: Any) -> str:
    if not isinstance(entry, dict):
        raise AnnotationError(f"{where}: must be an object with a name, not {_kind(entry)}: {_show(entry)}")
    if "name" not in entry:
        raise AnnotationError(f"{where}: has no name: {_show(entry)}")
    name = entry["name"]
    if not isinstance(name, str) or not is_dns1123_subdomain(name):
        raise AnnotationError(f"{where}: name {_show(name)} is not the name of a network (DNS-1123 subdomain)")
    return name


def _flag(where: str, entry: dict[str, Any], key: str) -> bool:
    value = entry.get(key)
    if value is None:
        return False
    if not isinstance(value, bool):
        raise AnnotationError(f"{where}: {key} must be true or false, not {_show(value)}")
    return value


def _attachment(where: str, name: str, entry: dict[str, Any], namespaces: Collection[str]) -> Attachment:
    return Attachment(
        network=name,
        ifname=interface_name(name),
        namespace=_namespace(where, entry.get("namespace"), namespaces),
        mac=_mac(where, entry.get("ifMac")),
        upper_layers=tuple(_upper_layers(where, entry.get("upperLayers"))),
    )


def _namespace(where: str, value: Any, namespaces: Collection[str]) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str) or not is_dns1123_label(value):
        raise AnnotationError(f"{where}: namespace {_show(value)} is not the name of a namespace")
    if value not in namespaces:
        raise AnnotationError(
            f"{where}: networks of namespace {value} may not be used from this pod (see the setting global-namespaces)"
        )
    return value


def _mac(where: str, value: Any) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str) or not is_mac(value):
        raise AnnotationError(f"{where}: ifMac {_show(value)} is not a unicast MAC address such as 02:00:00:00:00:01")
    return value.lower()


def _upper_layers(where: str, value: Any) -> Iterator[str]:
    if value is None:
        return
    if not isinstance(value, list):
        raise AnnotationError(f"{where}: upperLayers must be a list of network names, not {_show(value)}")
    for name in value:
        if not isinstance(name, str) or not is_dns1123_subdomain(name):
            raise AnnotationError(f"{where}: upperLayers holds {_show(name)}, which is not the name of a network")
        yield name


def _bounded(problems: list[str]) -> tuple[str, ...]:
    left_out = len(problems) - _MOST_PROBLEMS
    more = (f"networks: {left_out} more faults are not shown",) if left_out > 0 else ()
    return (*problems[:_MOST_PROBLEMS], *more)


def _show(value: Any) -> str:
    """`value` for a message: on one line, printable and short, whatever bytes it holds."""
    text = ascii(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}... ({len(text)} characters)"


def _kind(value: Any) -> str:
    kinds: dict[type, str] = {dict: "an object", list: "a list", str: "a string", bool: "a boolean"}
    return "null" if value is None else kinds.get(type(value), "a number")
