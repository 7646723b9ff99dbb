"""Builds the environment and standard input of plugins (CNI SPEC, sections 2 and 4). Pure.

CNI_ARGS and CNI_PATH have no escaping: a value with one of their separators is rejected here, whatever earlier checks
let pass.
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
    """The caller's variables that plugins may see: no token, no NOTIFY_SOCKET."""
    passed = {key: value for key, value in environ.items() if key.startswith(_INHERITED_PREFIXES)}
    return {**passed, "PATH": environ.get("PATH") or DEFAULT_PATH}


def attachment_variables(
    command: str, target: Target, args: Iterable[tuple[str, str]], path: Sequence[str], network: str
) -> dict[str, str]:
    """The six CNI variables of ADD, CHECK and DEL (CNI SPEC, section 2).

    Raises:
        CallRefused: code 4, one of them is invalid; no plugin is at fault.
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
    """The six CNI variables of STATUS and GC, which concern no attachment. Raises like `attachment_variables`."""
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
    """The configuration of one `plugin` of the list `netconf` for ADD, CHECK and DEL (CNI SPEC, section 4).

    Args:
        previous: passed as ``prevResult`` unless None.
        capability_args: passed as ``runtimeConfig`` as far as the plugin declares them.
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
    """The configuration of one `plugin` for STATUS."""
    return json.dumps(_named(netconf, plugin)).encode()


def gc_stdin(netconf: NetConf, plugin: Json, valid: Iterable[Target]) -> bytes:
    """The configuration of one `plugin` for GC, with the valid attachments of the network."""
    attachments = [{"containerID": target.container_id, "ifname": target.ifname} for target in valid]
    # Plugins written to the first text of CNI 1.1.0 read the second key.
    keys = {"cni.dev/valid-attachments": attachments, "cni.dev/attachments": attachments}
    return json.dumps({**_named(netconf, plugin), **keys}).encode()


def _named(netconf: NetConf, plugin: Json) -> Json:
    conf = {**plugin, "name": netconf.name, "cniVersion": netconf.json["cniVersion"]}
    if not conf["cniVersion"]:
        del conf["cniVersion"]
    return conf


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
