"""Runs one call, from its environment and standard input to its exit code. Every failure becomes an error object."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Mapping

from podagent import versions
from podagent.errors import CniError, PluginError, PluginTimeout
from podagent.foreign import Json, json_object
from podagent.kactus.call import COMMANDS, LONGEST_INPUT, Call, read_call
from podagent.kactus.failure import INTERNAL, Failure
from podagent.kactus.log import log, setup

_STDIN = 0
_LONGEST_TEXT = 4000
_HIGHEST_CODE = (1 << 32) - 1


def run(environ: Mapping[str, str], write_out: Callable[[str], bool], stdin: int = _STDIN) -> int:
    """Runs any command but VERSION. Returns the exit code.

    Args:
        environ: environment of the call.
        write_out: prints a line; returns False if the reader is gone.
        stdin: descriptor of the standard input.
    """
    setup(environ)
    given = b""
    try:
        given = _read(stdin) if environ.get("CNI_COMMAND") in COMMANDS else b""
        answer = _carry_out(read_call(environ, given))
    except CniError as fault:
        return _fail(fault, given, write_out)
    except Exception as fault:  # a bug, too, must yield an error object
        log("error", f"internal error: {fault!r}")
        return _fail(Failure(INTERNAL, f"internal error: {fault!r}"[:400]), given, write_out)
    return 0 if answer is None or write_out(json.dumps(answer)) else 1


def _read(stdin: int) -> bytes:
    """The standard input, up to the size limit of a call; empty if it is closed."""
    taken = bytearray()
    try:
        while len(taken) <= LONGEST_INPUT and (portion := os.read(stdin, 1 << 20)):
            taken += portion
    except OSError as fault:
        log("error", f"cannot read the standard input: {fault.strerror}")
    return bytes(taken)


def _carry_out(call: Call) -> Json | None:
    from podagent.kactus.operations import OPERATIONS  # noqa: PLC0415 - rejected calls do not need it

    signal.signal(signal.SIGTERM, _leave if call.command == "ADD" else _hurry)
    return OPERATIONS[call.command](call)


def _leave(number: int, _: object) -> None:
    """Exits on SIGTERM from a caller that timed out; the delegate's process group is killed first."""
    sys.exit(128 + number)


def _hurry(number: int, _: object) -> None:
    """As for `_leave`, but only the plugin at work is given up: the others can still release what they hold."""
    signal.signal(number, _leave)
    raise PluginTimeout("of a delegate", "was ended with its process group: the caller of kactus waits no longer")


def _version_asked(given: bytes) -> str:
    """The version of the error object: the configuration's if it is readable and supported, else the latest."""
    try:
        named = json_object(given).get("cniVersion") or versions.OLDEST
    except ValueError:
        return versions.LATEST
    return named if named in versions.KNOWN else versions.LATEST


def _fail(fault: CniError, given: bytes, write_out: Callable[[str], bool]) -> int:
    # Errors of delegates are prefixed with the plugin's name; callers prefix errors of our own with ours.
    message = f"{fault.plugin}: {fault.message}" if isinstance(fault, PluginError) else fault.message
    # A delegate may use any code, but callers expect a positive unsigned number.
    code = fault.code if 0 < fault.code <= _HIGHEST_CODE else INTERNAL
    body = {"cniVersion": _version_asked(given), "code": code, "msg": message[:_LONGEST_TEXT]}
    if fault.details:
        body["details"] = fault.details[:_LONGEST_TEXT]
    write_out(json.dumps(body))
    log("error", str(fault))
    return 1
