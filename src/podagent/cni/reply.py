"""Interprets a plugin's exit code and output as a result or a PluginError (CNI SPEC, section 5). Pure.

Only the exit code decides about success.
"""

from __future__ import annotations

import signal
from typing import NamedTuple

from podagent.cni import result
from podagent.errors import PluginError
from podagent.foreign import Json, excerpt, json_object

_UNKNOWN, _DECODING_FAILURE = 999, 6


class Ended(NamedTuple):
    """The end of a plugin process.

    Attributes:
        exit_code: its exit code, or the negative number of the signal that killed it.
        stdout: its whole standard output.
        stderr: the last part of its standard error.
        abandoned_child: a process it left behind still held its output, and was killed.
    """

    exit_code: int
    stdout: bytes
    stderr: bytes
    abandoned_child: bool = False


def require_success(plugin: str, ended: Ended) -> None:
    """Raises the PluginError for `ended`, unless it succeeded."""
    if ended.exit_code < 0:
        raise PluginError(plugin, f"was killed by {_signal_name(-ended.exit_code)}", _UNKNOWN, excerpt(ended.stderr))
    if ended.exit_code > 0:
        raise _failure(plugin, ended)


def add_result(plugin: str, stdout: bytes, conf_version: str) -> Json:
    """Parses the result of a successful ADD. Raises PluginError without a usable one."""
    try:
        raw = json_object(stdout)
    except ValueError as fault:
        printed = f"printed {excerpt(stdout)!r}" if stdout.strip() else "printed nothing"
        raise PluginError(plugin, f"ADD returned no result: {printed}", _DECODING_FAILURE, str(fault)) from None
    return result.checked(raw, conf_version, plugin)


def _failure(plugin: str, ended: Ended) -> PluginError:
    if not ended.stdout.strip():
        text = excerpt(ended.stderr) or "no output"
        return PluginError(plugin, f"failed with exit code {ended.exit_code}: {text}", _UNKNOWN)
    try:
        error = json_object(ended.stdout)
    except ValueError:
        text = excerpt(ended.stdout)
        return PluginError(plugin, f"failed with exit code {ended.exit_code}: {text}", _UNKNOWN, excerpt(ended.stderr))
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
