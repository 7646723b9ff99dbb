"""Translates Go's command-line conventions to those of click, so that the original's command lines keep working.

Go accepts one dash or two before a long flag (``-node x``, ``-node=x``), and a value of a boolean flag only after '='.
Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from podagent.errors import SettingsError

# strconv.ParseBool
_TRUE = {"1", "t", "T", "true", "TRUE", "True"}
_FALSE = {"0", "f", "F", "false", "FALSE", "False"}


def normalise(
    arguments: Sequence[str], *, with_value: Collection[str], switches: Collection[str], ignored: Collection[str]
) -> list[str]:
    """Normalises `arguments`: two dashes before every long flag, and '=' between a flag and its value.

    Args:
        arguments: in the syntax of Go's flag package.
        with_value: names of flags with a value.
        switches: names of boolean flags; those set to false are omitted.
        ignored: names of boolean flags that are validated and omitted.

    Raises:
        SettingsError: the value of a boolean flag is not a truth value.
    """
    result: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        name, equals, value = argument.lstrip("-").partition("=")
        dashes = len(argument) - len(argument.lstrip("-"))
        if dashes not in (1, 2) or not name:
            result.append(argument)
            if argument == "--":
                result.extend(rest)
        elif name in switches or name in ignored:
            if _truth(name, value if equals else "true") and name in switches:
                result.append(f"--{name}")
        elif name in with_value:
            given = value if equals else next(rest, None)
            result.append(f"--{name}" if given is None else f"--{name}={given}")
        else:  # a short or unknown flag: click reports errors
            result.append(argument if len(name) == 1 else f"--{name}{equals}{value}")
    return result


def _truth(name: str, text: str) -> bool:
    if text not in _TRUE | _FALSE:
        raise SettingsError(f"flag --{name}: {text[:80]!r} is not accepted: expected true or false")
    return text in _TRUE
