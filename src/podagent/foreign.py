"""Reading text that others wrote: JSON objects, and excerpts of raw output for messages. Pure.

Whatever the bytes are, the only outcomes are a value or a ValueError: this text comes from plugins and from the API.
"""

from __future__ import annotations

import json

from podagent.model import Json

EXCERPT_CHARS = 1000


def json_object(text: str | bytes) -> Json:
    """The JSON object in `text` (UTF-8). Raises ValueError saying what is wrong with it."""
    try:
        value = json.loads(text if isinstance(text, str) else text.decode(), parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("JSON nested too deeply") from None
    except UnicodeDecodeError:
        raise ValueError("not UTF-8 text") from None
    except ValueError as fault:
        raise ValueError(f"not JSON: {fault}") from None
    if not isinstance(value, dict):
        raise ValueError(f"a JSON object is needed, not {json_kind(value)}")  # noqa: TRY004 - one error for all callers
    return value


def json_kind(value: object) -> str:
    """What JSON calls the type of `value`, with its article."""
    kinds = {bool: "a boolean", int: "a number", float: "a number", str: "a string", list: "a list", dict: "an object"}
    return kinds.get(type(value), "null")


def excerpt(output: str | bytes) -> str:
    """`output` made fit for a message: one line, printable, at most `EXCERPT_CHARS` characters; the end is kept."""
    tail = output[-4 * EXCERPT_CHARS :]
    text = tail if isinstance(tail, str) else tail.decode(errors="replace")
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return line if len(line) <= EXCERPT_CHARS else "..." + line[-EXCERPT_CHARS:]


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not a JSON value")
