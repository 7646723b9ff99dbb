"""Reads foreign input (JSON from plugins, tenants and servers) and quotes it in messages. Pure.

For any input, the result is a value of the requested type, or a ValueError that describes the fault.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, TypeVar

Json = dict[str, Any]
"""A JSON object."""

EXCERPT_CHARS = 1000
YAML_FAULTS = (ValueError, TypeError, AttributeError, LookupError, ArithmeticError, RecursionError)
"""Raised by the YAML library beside its own error: it converts numbers and dates without a check."""
_LONGEST_VALUE = 80
_LONGEST_TEXT = 4096
_KINDS: Mapping[type, str] = {
    bool: "a boolean",
    int: "a number",
    float: "a number",
    str: "a string",
    list: "a list",
    dict: "an object",
}
_T = TypeVar("_T")


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not a JSON value")


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError(f"{digits[:40]} is too large a number")  # it would be written as Infinity
    return number


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite)


def json_object(text: str | bytes) -> Json:
    """Decodes the JSON object in `text` (UTF-8). Raises ValueError."""
    try:
        value = _DECODER.decode(text if isinstance(text, str) else text.decode())
    except RecursionError:
        raise ValueError("JSON nested too deeply") from None
    except UnicodeDecodeError:
        raise ValueError("not UTF-8 text") from None
    except ValueError as fault:
        raise ValueError(f"not JSON: {fault}") from None
    if not isinstance(value, dict):
        raise ValueError(f"a JSON object is needed, not {json_kind(value)}")  # noqa: TRY004 - one error for all callers
    return value


def yaml_fault(error: Exception) -> str:
    """Where YAML text is wrong. Quotes nothing of it, unlike the library: it may be a credential."""
    if isinstance(error, RecursionError):
        return "nested too deeply"
    mark = getattr(error, "problem_mark", None)
    return f"see line {mark.line + 1}, column {mark.column + 1}" if mark else "a character or a value cannot be read"


def json_kind(value: object) -> str:
    """The JSON name of the type of `value`, with its article."""
    return _KINDS.get(type(value), "null")


def optional(source: Mapping[str, Any], key: str, kind: type[_T]) -> _T | None:
    """The value at `key`, None if it is absent or null. Raises ValueError if it is not a `kind`."""
    value = source.get(key)
    if value is None or type(value) is kind:  # isinstance would accept a boolean as a number
        return value
    raise _wrong_kind(key, kind, value)


def required(source: Mapping[str, Any], key: str, kind: type[_T]) -> _T:
    """The value at `key`. Raises ValueError if it is absent, null or not a `kind`."""
    value = optional(source, key, kind)
    if value is None:
        raise ValueError(f"'{key}' is missing")
    return value


def require_kinds(source: Mapping[str, Any], kinds: Mapping[str, type]) -> None:
    """Checks that each value is absent, null or of its kind. Raises ValueError."""
    for key, kind in kinds.items():
        value = source.get(key)
        if value is not None and type(value) is not kind:
            raise _wrong_kind(key, kind, value)


def objects(source: Mapping[str, Any], key: str) -> list[Json]:
    """The list of objects at `key`, empty if it is absent. Raises ValueError if it is anything else."""
    entries = optional(source, key, list) or []
    for entry in entries:
        if not isinstance(entry, dict):
            raise ValueError(f"'{key}' must hold objects, not {json_kind(entry)}")  # noqa: TRY004 - as above
    return entries


def lenient(source: object, key: str, kind: type[_T]) -> _T:
    """The value at `key`; an empty `kind` if `source` is no object, or the value is not a `kind`."""
    value = source.get(key) if isinstance(source, dict) else None
    return value if type(value) is kind else kind()


def printable(text: str, limit: int = _LONGEST_TEXT) -> str:
    """`text` on one line, truncated to `limit` characters, with control and invisible characters escaped."""
    if len(text) > limit:
        text = f"{text[:limit]}... ({len(text) - limit} more characters)"
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def excerpt(output: str | bytes, limit: int = EXCERPT_CHARS, *, keep_end: bool = True) -> str:
    """`output` for a message: one line, white space folded, at most `limit` characters from its end or start."""
    part = output[-4 * limit :] if keep_end else output[: 4 * limit]
    text = part if isinstance(part, str) else part.decode(errors="replace")
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    if len(line) <= limit:
        return line
    return f"...{line[-limit:]}" if keep_end else line[:limit]


def shown(value: object, limit: int = _LONGEST_VALUE) -> str:
    """`value` as a short ASCII literal on one line."""
    text = ascii(value)
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text)} characters)"


def _wrong_kind(key: str, kind: type, value: object) -> ValueError:
    return ValueError(f"'{key}' must be {_KINDS[kind]}, not {json_kind(value)}")
