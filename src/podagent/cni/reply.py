"""What a plugin answered: its exit and output made into a value or a PluginError (CNI SPEC, section 5). Pure.

Only the exit code decides whether it succeeded.
"""

from __future__ import annotations

import signal
from typing import NamedTuple

from podagent.cni import result
from podagent.errors import PluginError
from podagent.foreign import excerpt, json_object
from podagent.model import Json

_UNKNOWN, _DECODING_FAILURE = 999, 6
# What plugins older than the VERSION command answer to it.
_NO_VERSION_COMMAND = "unknown CNI_COMMAND: VERSION"


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


def stderr_text(ended: Ended) -> str:
    """What the plugin printed on its standard error, for a log."""
    return excerpt(ended.stderr)


def add_result(plugin: str, ended: Ended, conf_version: str) -> Json:
    """The checked result of a successful ADD. Raises PluginError when it failed or printed no usable result."""
    require_success(plugin, ended)
    try:
        raw = json_object(ended.stdout)
    except ValueError as fault:
        printed = f"printed {excerpt(ended.stdout)!r}" if ended.stdout.strip() else "printed nothing"
        raise PluginError(plugin, f"ADD gave no result: {printed}", _DECODING_FAILURE, str(fault)) from None
    return result.checked(raw, conf_version, plugin)


def supported_versions(plugin: str, ended: Ended) -> tuple[str, ...]:
    """The specification versions in an answer to VERSION. Raises PluginError."""
    if ended.exit_code > 0 and _NO_VERSION_COMMAND in _failure(plugin, ended).message:
        return ("0.1.0",)
    require_success(plugin, ended)
    try:
        answer = json_object(ended.stdout)
    except ValueError as fault:
        raise _bad_version_answer(plugin, str(fault)) from None
    if not isinstance(answer.get("cniVersion"), str) or not answer["cniVersion"]:
        raise _bad_version_answer(plugin, "'cniVersion' is missing")
    supported = answer.get("supportedVersions")
    if not supported and answer["cniVersion"] == "0.2.0":
        return "0.1.0", "0.2.0"
    if not supported or not isinstance(supported, list) or not all(isinstance(entry, str) for entry in supported):
        raise _bad_version_answer(plugin, "'supportedVersions' must be a list of strings")
    return tuple(supported)


def _bad_version_answer(plugin: str, reason: str) -> PluginError:
    return PluginError(plugin, f"malformed answer to VERSION: {reason}", _DECODING_FAILURE)


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
