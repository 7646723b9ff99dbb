"""The exec plugin of a user: the command that prints its credentials (client-authentication.v1, "ExecCredential").

It starts no process itself: it is given what does, with a time limit.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

from podagent.errors import CniError, KubeconfigError
from podagent.foreign import Json, excerpt, lenient, printable
from podagent.kubeconfig.choice import EXEC_GROUP, ExecPlugin
from podagent.kubeconfig.document import mapping

# The service's own, and those of a call of kactus: a command that takes them for its own would speak to systemd.
_OURS = ("CNI_", "NOTIFY_", "WATCHDOG_", "LISTEN_", "PODAGENT_", "_CNI_")
_VERSION = re.compile(rf"{re.escape(EXEC_GROUP)}/v[0-9a-z]{{1,8}}", re.ASCII)


class Printed(NamedTuple):
    """The credentials that a plugin printed: a token, a client certificate with its key in PEM, or both."""

    token: str
    certificate: bytes


Run = Callable[[ExecPlugin, Mapping[str, str]], Printed]
"""Runs a plugin in an environment like this process's. Raises KubeconfigError, also when it takes too long."""


class _Ended(Protocol):
    @property
    def exit_code(self) -> int: ...
    @property
    def stdout(self) -> bytes: ...
    @property
    def stderr(self) -> bytes: ...


Execute = Callable[[str, Mapping[str, str], bytes, float, str, tuple[str, ...]], _Ended]
"""`cni.plugin.run`: executable, environment, standard input, time limit in seconds, its name, arguments."""


def runner(execute: Execute, timeout_s: float) -> Run:
    """A `Run` by `execute`, which is given `timeout_s`."""

    def run(plugin: ExecPlugin, environ: Mapping[str, str]) -> Printed:
        name = f"exec plugin {printable(plugin.command, 300)}"
        executable = _found(plugin, environ.get("PATH", os.defpath), name)
        try:
            ended = execute(executable, _environment(plugin, environ), b"", timeout_s, plugin.command, plugin.args)
        except CniError as fault:
            details = f": {fault.details}" if fault.details else ""
            raise KubeconfigError(f"{name} {printable(fault.message)}{details}") from None
        if ended.exit_code:
            said = excerpt(ended.stderr) or "it printed nothing to stderr"
            raise KubeconfigError(f"{name} {_ending(ended.exit_code)}: {said}")
        try:
            return _printed(plugin, ended.stdout)
        except (ValueError, KubeconfigError) as fault:
            said = excerpt(ended.stderr)
            raise KubeconfigError(f"{name}: {fault}{f'; stderr: {said}' if said else ''}") from None

    return run


def _ending(code: int) -> str:
    return f"was killed by signal {-code}" if code < 0 else f"failed with exit code {code}"


def _found(plugin: ExecPlugin, path: str, name: str) -> str:
    """The executable. Raises KubeconfigError, with the plugin's own hint how to install it."""
    directories = [""] if "/" in plugin.command else [f"{each}/" for each in path.split(":") if each.startswith("/")]
    for directory in directories:
        candidate = f"{directory}{plugin.command}"
        if "\0" not in candidate and os.path.isfile(candidate) and os.access(candidate, os.X_OK):  # noqa: PTH113
            return candidate
    hint = excerpt(plugin.hint, keep_end=False)
    where = "is not an executable file" if "/" in plugin.command else f"is in no directory of PATH ({path})"
    raise KubeconfigError(f"{name} {where}{f': {hint}' if hint else '; install it, or use a token'}")


def _environment(plugin: ExecPlugin, environ: Mapping[str, str]) -> Mapping[str, str]:
    spec: Json = {"interactive": False}
    if plugin.cluster_info is not None:
        spec["cluster"] = plugin.cluster_info
    info = {"kind": "ExecCredential", "apiVersion": plugin.api_version, "spec": spec}
    inherited = {key: value for key, value in environ.items() if not key.startswith(_OURS)}
    return {**inherited, **plugin.env, "KUBERNETES_EXEC_INFO": json.dumps(info)}


def _other_version(answer: Json) -> str:
    found = answer.get("apiVersion")
    is_one = isinstance(found, str) and _VERSION.fullmatch(found)
    return f", but of {found}" if is_one else ""


def _printed(plugin: ExecPlugin, stdout: bytes) -> Printed:
    """Raises ValueError or KubeconfigError, which quote nothing of it: it may be a credential."""
    answer = mapping(stdout.decode(errors="replace"), "the output")
    if answer.get("kind") != "ExecCredential" or answer.get("apiVersion") != plugin.api_version:
        raise ValueError(f"it printed no ExecCredential of {plugin.api_version}{_other_version(answer)}")
    status = lenient(answer, "status", dict)
    token, certificate, key = (
        lenient(status, each, str) for each in ("token", "clientCertificateData", "clientKeyData")
    )
    if not token and not certificate and not key:
        raise ValueError("its status has neither a token nor a client certificate")
    if bool(certificate) != bool(key):
        raise ValueError("its status has only one of clientCertificateData and clientKeyData")
    return Printed(token, f"{certificate}\n{key}".encode() if certificate else b"")
