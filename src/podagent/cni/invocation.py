"""What a plugin is given: its environment and its standard input (CNI SPEC, section 2 and 4). Pure.

Nothing that could be read as something else gets through: CNI_ARGS and CNI_PATH have no escaping, so a value that holds
their separators is refused here, whoever let it come this far.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from podagent.errors import CallRefused
from podagent.foreign import Json, shown
from podagent.model import Target
from podagent.netconf import NetConf
from podagent.validate import is_cni_name, is_interface_name

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_INHERITED_PREFIXES = ("CNI_", "_CNI_LOGGING_")
_INVALID_ENVIRONMENT = 4


def inherited(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables of the caller that plugins may see: no token, no NOTIFY_SOCKET, nothing else."""
    passed = {key: value for key, value in environ.items() if key.startswith(_INHERITED_PREFIXES)}
    return {**passed, "PATH": environ.get("PATH") or DEFAULT_PATH}


def attachment_variables(
    command: str, target: Target, args: Iterable[tuple[str, str]], path: Sequence[str], network: str
) -> dict[str, str]:
    """The six CNI variables of ADD, CHECK and DEL.

    Raises:
        CallRefused: code 4, one of them is unusable; no plugin is at fault.
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


def node_variables(command: str, path: Sequence[str], network: str) -> dict[str, str]:
    """The six CNI variables of STATUS and GC, which concern no attachment. Raises as `attachment_variables` does."""
    return {
        "CNI_COMMAND": command,
        "CNI_CONTAINERID": "",
        "CNI_NETNS": "",
        "CNI_ARGS": "",
        "CNI_IFNAME": "",
        "CNI_PATH": _path(path, network),
    }


def attachment_stdin(
    netconf: NetConf, plugin: Json, previous: Json | None, capability_args: Mapping[str, Any]
) -> bytes:
    """The configuration that one `plugin` of the list `netconf` is given for ADD, CHECK and DEL.

    Args:
        previous: goes in as ``prevResult`` unless None.
        capability_args: those that the plugin declares become its ``runtimeConfig``, left out when there are none.
    """
    conf = _named(netconf, plugin)
    if previous is not None:
        conf["prevResult"] = previous
    declared = plugin.get("capabilities") or {}
    runtime_config = {key: value for key, value in capability_args.items() if declared.get(key)}
    if runtime_config:
        conf["runtimeConfig"] = runtime_config
    return json.dumps(conf).encode()


def status_stdin(netconf: NetConf, plugin: Json) -> bytes:
    """The configuration that one `plugin` is given for STATUS."""
    return json.dumps(_named(netconf, plugin)).encode()


def gc_stdin(netconf: NetConf, plugin: Json, valid: Iterable[Target]) -> bytes:
    """The configuration that one `plugin` is given for GC, with the attachments of the network that are to stay."""
    attachments = [{"containerID": target.container_id, "ifname": target.ifname} for target in valid]
    # Plugins written after the first text of CNI 1.1.0 look for the second key.
    keys = {"cni.dev/valid-attachments": attachments, "cni.dev/attachments": attachments}
    return json.dumps({**_named(netconf, plugin), **keys}).encode()


def _named(netconf: NetConf, plugin: Json) -> Json:
    return {**plugin, "name": netconf.name, "cniVersion": netconf.version}


def _args(pairs: Iterable[tuple[str, str]], network: str) -> str:
    written = []
    for key, value in pairs:
        pair = f"{key}={value}"
        if not key or pair.count("=") != 1 or ";" in pair or not pair.isprintable():
            raise _unusable(network, "CNI_ARGS pair", pair)
        written.append(pair)
    return ";".join(written)


def _path(directories: Sequence[str], network: str) -> str:
    for directory in directories:
        if ":" in directory or not directory.isprintable():
            raise _unusable(network, "plugin directory", directory)
    return ":".join(directories)


def _unusable(network: str, what: str, value: str) -> CallRefused:
    return CallRefused(f"network {network}: no plugin was run: unusable {what} {shown(value)}", _INVALID_ENVIRONMENT)
