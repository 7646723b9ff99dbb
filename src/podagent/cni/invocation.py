"""What a plugin is given: its environment and its standard input (CNI SPEC, section 2 and 4). Pure.

Nothing that could be read as something else gets through: CNI_ARGS and CNI_PATH have no escaping, so a value that holds
their separators is refused here, whoever let it come this far.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from podagent.errors import PluginNotRun
from podagent.model import Json, Target
from podagent.validate import is_cni_name, is_interface_name
from podagent.versions import LATEST

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
VERSION_STDIN = json.dumps({"cniVersion": LATEST}).encode()
_INHERITED_PREFIXES = ("CNI_", "_CNI_LOGGING_")
_INVALID_ENVIRONMENT = 4


def inherited(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables of the caller that plugins may see: no token, no NOTIFY_SOCKET, nothing else."""
    passed = {key: value for key, value in environ.items() if key.startswith(_INHERITED_PREFIXES)}
    return {**passed, "PATH": environ.get("PATH") or DEFAULT_PATH}


def attachment_variables(
    command: str, target: Target, args: Iterable[tuple[str, str]], path: Iterable[str], network: str
) -> dict[str, str]:
    """The six CNI variables of ADD, CHECK and DEL.

    Raises:
        PluginNotRun: code 4, one of them is unusable. It names `network`, since no plugin is at fault.
    """
    if not is_cni_name(target.container_id):
        raise _unusable(network, "container ID", target.container_id)
    if not is_interface_name(target.ifname):
        raise _unusable(network, "interface name", target.ifname)
    if not target.netns.isprintable() or not (target.netns or command == "DEL"):
        raise _unusable(network, "network namespace", target.netns)
    return {
        "CNI_COMMAND": command,
        "CNI_CONTAINERID": target.container_id,
        "CNI_NETNS": target.netns,
        "CNI_ARGS": _args(args, network),
        "CNI_IFNAME": target.ifname,
        "CNI_PATH": _path(path, network),
    }


def node_variables(command: str, path: Iterable[str], network: str) -> dict[str, str]:
    """The six CNI variables of STATUS and GC, which concern no attachment. Raises as `attachment_variables` does."""
    return {**_six_empty(command), "CNI_PATH": _path(path, network)}


def version_variables() -> dict[str, str]:
    """The six CNI variables of VERSION: plugins older than that command must find something in those they insist on."""
    return {**_six_empty("VERSION"), "CNI_NETNS": "dummy", "CNI_IFNAME": "dummy", "CNI_PATH": "dummy"}


def attachment_stdin(netconf: Json, plugin: Json, previous: Json | None, capability_args: Mapping[str, Any]) -> bytes:
    """The configuration that one `plugin` of the list `netconf` is given for ADD, CHECK and DEL.

    Args:
        previous: goes in as ``prevResult`` unless None.
        capability_args: those that the plugin declares become its ``runtimeConfig``, left out when there are none.
    """
    declared = plugin.get("capabilities") or {}
    runtime_config = {key: capability_args[key] for key, on in declared.items() if on and key in capability_args}
    conf = _named(netconf, plugin)
    if previous is not None:
        conf["prevResult"] = previous
    if runtime_config:
        conf["runtimeConfig"] = runtime_config
    return json.dumps(conf).encode()


def status_stdin(netconf: Json, plugin: Json) -> bytes:
    """The configuration that one `plugin` is given for STATUS."""
    return json.dumps(_named(netconf, plugin)).encode()


def gc_stdin(netconf: Json, plugin: Json, valid: Iterable[Target]) -> bytes:
    """The configuration that one `plugin` is given for GC, with the attachments of the network that are to stay."""
    attachments = [{"containerID": target.container_id, "ifname": target.ifname} for target in valid]
    # Plugins written after the first text of CNI 1.1.0 look for the second key.
    keys = {"cni.dev/valid-attachments": attachments, "cni.dev/attachments": attachments}
    return json.dumps({**_named(netconf, plugin), **keys}).encode()


def _named(netconf: Json, plugin: Json) -> Json:
    return {**plugin, "name": netconf["name"], "cniVersion": netconf["cniVersion"]}


def _six_empty(command: str) -> dict[str, str]:
    names = ("CNI_CONTAINERID", "CNI_NETNS", "CNI_ARGS", "CNI_IFNAME", "CNI_PATH")
    return {"CNI_COMMAND": command, **dict.fromkeys(names, "")}


def _args(pairs: Iterable[tuple[str, str]], network: str) -> str:
    pairs = tuple(pairs)
    for key, value in pairs:
        if not key or not _plain(key) or not _plain(value):
            raise _unusable(network, "CNI_ARGS pair", f"{key}={value}")
    return ";".join(f"{key}={value}" for key, value in pairs)


def _plain(text: str) -> bool:
    return text.isprintable() and ";" not in text and "=" not in text


def _path(directories: Iterable[str], network: str) -> str:
    directories = tuple(directories)
    for directory in directories:
        if ":" in directory or not directory.isprintable():
            raise _unusable(network, "plugin directory", directory)
    return ":".join(directories)


def _unusable(network: str, what: str, value: str) -> PluginNotRun:
    return PluginNotRun(network, f"not run: unusable {what} {value[:80]!r}", _INVALID_ENVIRONMENT)
