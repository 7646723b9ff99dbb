"""Value types of settings: each parses text to a validated value. Pure.

Parsers raise ValueError, whose text (possibly empty) gives a reason beyond "not accepted".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from podagent.validate import is_dns1123_label, is_dns1123_subdomain

_UNIT_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_DURATION_PART = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(h|ms|m|s|us|µs|ns)")
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]*)?|\.[0-9]+")
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_LINK_PATTERN = re.compile(r"[^/:\s,]{1,60}")


@dataclass(frozen=True, slots=True)
class Kind:
    """The type of a setting's value.

    Attributes:
        parse: converts the text; raises ValueError for invalid values.
        accepts: completes "expected ...".
        metavar: placeholder in ``--help``.
        natives: accepted TOML types besides strings.
    """

    parse: Callable[[str], object]
    accepts: str
    metavar: str
    natives: tuple[type, ...] = ()


def parse_duration(text: str) -> float:
    """Parses a Go duration (``90s``, ``1h30m``, ``250ms``) or a bare number of seconds. Returns seconds."""
    if _NUMBER.fullmatch(text):
        return float(text)
    total, end = 0.0, 0
    for part in _DURATION_PART.finditer(text):
        if part.start() != end:
            break
        total += float(part[1]) * _UNIT_SECONDS[part[2]]
        end = part.end()
    if not text or end != len(text):
        raise ValueError
    return total


def _path(text: str) -> Path:
    if not text.startswith("/") or "\0" in text:
        raise ValueError
    return Path(text)


def _directories(text: str) -> tuple[str, ...]:
    """Directories for CNI_PATH, which separates them by colons and has no escaping; none if the text is empty."""
    if not text:
        return ()
    directories = tuple(item.strip() for item in re.split("[,:]", text))
    for item in directories:
        if not item.startswith("/") or not item.isprintable():
            raise ValueError(f"{item[:80]!r} is not an absolute path")
    return directories


def _state_directory(text: str) -> Path:
    path = _path(text)
    if path == Path("/"):
        raise ValueError("the agent makes its state directory private to root")
    return path


def _unix_socket(text: str) -> str:
    scheme, separator, rest = text.partition("://")
    if separator and scheme != "unix":
        raise ValueError("the agent only talks to the runtime of its own node")
    return f"unix://{_path(rest if separator else text)}"


def _optional_unix_socket(text: str) -> str:
    return _unix_socket(text) if text else ""


def _node_name(text: str) -> str:
    if not is_dns1123_subdomain(text):
        raise ValueError("the kubelet registers nodes in lower case" if is_dns1123_subdomain(text.lower()) else "")
    return text


def _vendor_name(text: str) -> str:
    if text and _FILE_NAME.fullmatch(text) is None:
        raise ValueError
    return text


def _list_of(what: str, valid: Callable[[str], object]) -> Callable[[str], tuple[str, ...]]:
    """A parser of lists separated by commas; `what` each item has to be, for the error."""

    def parse(text: str) -> tuple[str, ...]:
        items = tuple(item.strip() for item in text.split(",")) if text.strip() else ()
        wrong = [item for item in items if not valid(item)]
        if wrong:
            raise ValueError(f"{wrong[0][:80]!r} cannot be {what}")
        return items

    return parse


def some_of(names: Collection[str]) -> Kind:
    """Any number of `names`."""
    parse = _list_of("one of them", frozenset(names).__contains__)
    return Kind(parse, f"any of {', '.join(sorted(names))}, {_IN_TOML}", "NAMES", (list,))


def choice(*names: str) -> Kind:
    """One of `names`."""

    def parse(text: str) -> str:
        if text not in names:
            raise ValueError
        return text

    return Kind(parse, names[0] if len(names) == 1 else "one of " + ", ".join(names), "|".join(names))


def whole_number(lowest: int, highest: int) -> Kind:
    """A decimal number within both bounds, inclusive."""

    def parse(text: str) -> int:
        if not re.fullmatch("[0-9]{1,9}", text) or not lowest <= int(text) <= highest:
            raise ValueError
        return int(text)

    return Kind(parse, f"a whole number from {lowest} to {highest}", "N", (int,))


def duration(shortest: str, longest: str, *, or_never: bool = False) -> Kind:
    """A duration within both bounds, inclusive, in seconds; with `or_never`, 0 is accepted too."""

    def parse(text: str) -> float:
        seconds = parse_duration(text)
        if or_never and seconds == 0:
            return 0.0
        if not parse_duration(shortest) <= seconds <= parse_duration(longest):
            raise ValueError
        return seconds

    accepts = f"a duration from {shortest} to {longest}, such as 90s, 5m or 1h30m (a bare number is seconds)"
    accepts += ", or 0 for never" if or_never else ""
    return Kind(parse, accepts, "DURATION", (int, float))


PATH = Kind(_path, "an absolute path", "PATH")
STATE_DIRECTORY = Kind(_state_directory, "the absolute path of a dedicated directory", "DIR")
UNIX_SOCKET = Kind(_unix_socket, "unix:///path/to/socket, or the absolute path of a unix socket", "SOCKET")
OPTIONAL_UNIX_SOCKET = Kind(_optional_unix_socket, UNIX_SOCKET.accepts, "SOCKET")
NODE_NAME = Kind(_node_name, "the name of a node: lower-case letters, digits, '-' and '.', at most 253", "NAME")
VENDOR_NAME = Kind(_vendor_name, "a directory name of letters, digits, '.', '_' and '-', without '/'", "NAME")
_IN_TOML = "separated by commas (in TOML also a list of strings)"
DIRECTORIES = Kind(
    _directories, "absolute paths separated by commas or colons (in TOML also a list of strings)", "PATHS", (list,)
)
NAMESPACES = Kind(_list_of("a namespace", is_dns1123_label), f"namespaces {_IN_TOML}", "NAMES", (list,))
PLUGINS = Kind(_list_of("a CNI plugin", _FILE_NAME.fullmatch), f"names of CNI plugins {_IN_TOML}", "NAMES", (list,))
LINK_PATTERNS = Kind(
    _list_of("a pattern of links", _LINK_PATTERN.fullmatch), f"names of links, or patterns with * and ?, {_IN_TOML}",
    "PATTERNS", (list,),
)  # fmt: skip
