"""What a plugin answered: its exit and output made into a value or a PluginError (CNI SPEC, section 5). Pure.

Only the exit code decides whether it succeeded.
"""

from __future__ import annotations

import signal
from typing import NamedTuple

from podagent.cni import result
from podagent.errors import PluginError
from podagent.foreign import Json, excerpt, json_object

_UNKNOWN, _DECODING_FAILURE = 999, 6


class Ended(NamedTuple):
    """How a plugin process ended.

    Attributes:
        exit_code: its exit code; a negative number is the signal that ended it.
        stdout: everything it printed there.
        stderr: the last part of what it printed there.
        abandoned_child: a process it left behind still held its output, and was ended.
    """

    exit_code: int
    stdout: bytes
    stderr: bytes
    abandoned_child: bool = False


def require_success(plugin: str, ended: Ended) -> None:
    """Raises the PluginError that `ended` amounts to, if it does."""
    if ended.exit_code < 0:
        raise PluginError(plugin, f"was ended by {_signal_name(-ended.exit_code)}", _UNKNOWN, excerpt(ended.stderr))
    if ended.exit_code > 0:
        raise _failure(plugin, ended)


def add_result(plugin: str, stdout: bytes, conf_version: str) -> Json:
    """The checked result of an ADD that succeeded. Raises PluginError when it printed no usable one."""
    try:
        raw = json_object(stdout)
    except ValueError as fault:
        printed = f"printed {excerpt(stdout)!r}" if stdout.strip() else "printed nothing"
        raise PluginError(plugin, f"ADD gave no result: {printed}", _DECODING_FAILURE, str(fault)) from None
    return result.checked(raw, conf_version, plugin)


def _failure(plugin: str, ended: Ended) -> PluginError:
    if not ended.stdout.strip():
        said = excerpt(ended.stderr) or "without a word"
        return PluginError(plugin, f"failed with exit code {ended.exit_code}: {said}", _UNKNOWN)
    try:
        error = json_object(ended.stdout)
    except ValueError:
        said = excerpt(ended.stdout)
        return PluginError(plugin, f"failed with exit code {ended.exit_code}: {said}", _UNKNOWN, excerpt(ended.stderr))
    code, message, details = error.get("code"), error.get("msg"), error.get("details")
    return PluginError(
        plugin,
        excerpt(message) if isinstance(message, str) and message else f"failed with exit code {ended.exit_code}",
        code if type(code) is int else _UNKNOWN,
        excerpt(details) if isinstance(details, str) else "",
    )


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
