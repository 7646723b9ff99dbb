"""Turns a ``networks.kaloom.com/v1`` object into a CNI network configuration list. Pure; its bytes are hostile.

``spec.plugin`` is the plugin's type, ``spec.config`` its configuration as JSON text. A config with a ``plugins`` list
is a chain; ``spec.plugin`` then is the type of its first plugin.
"""

from __future__ import annotations

import json
from typing import Any

from podagent.cni.conf import parse_list
from podagent.errors import DefinitionError, NetConfError
from podagent.model import Json

_LARGEST_CONFIG = 1 << 20


def to_netconf(definition: Json, reference: str) -> Json:
    """The network configuration list that `definition` stands for.

    Args:
        definition: the API object.
        reference: ``<namespace>/<name>``, for messages.

    Raises:
        DefinitionError: it is malformed.
    """
    spec = definition.get("spec")
    if not isinstance(spec, dict):
        raise DefinitionError(f"network {reference} has no spec")
    plugin = spec.get("plugin")
    if not isinstance(plugin, str) or not plugin:
        raise DefinitionError(f"network {reference}: spec.plugin must name a CNI plugin")
    config = _config(spec.get("config"), reference)
    config.setdefault("name", reference.partition("/")[2])
    try:
        netconf = parse_list(_with_type(config, plugin, reference), origin=f"network {reference}")
    except NetConfError as error:
        raise DefinitionError(str(error)) from error
    for conf in netconf["plugins"]:
        _check_types(conf, reference)
    return netconf


def _config(text: Any, reference: str) -> Json:
    if not isinstance(text, str) or len(text) > _LARGEST_CONFIG:
        raise DefinitionError(f"network {reference}: spec.config must be JSON text of at most 1 MiB")
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DefinitionError(f"network {reference}: spec.config is not valid JSON: {error}") from None
    if not isinstance(config, dict):
        raise DefinitionError(f"network {reference}: spec.config must be a JSON object")
    return config


def _with_type(config: Json, plugin: str, reference: str) -> Json:
    chain = config.get("plugins")
    if chain is None:
        return {**config, "type": plugin}
    if not isinstance(chain, list) or not chain or not isinstance(chain[0], dict):
        raise DefinitionError(f"network {reference}: plugins must be a list of CNI plugin configurations")
    if chain[0].setdefault("type", plugin) != plugin:
        raise DefinitionError(f"network {reference}: spec.plugin is not the type of the first plugin in spec.config")
    return config


def _check_types(conf: Json, reference: str) -> None:
    """No plugin type may be a path, also not that of the IPAM plugin, which the plugin itself looks up."""
    ipam = conf.get("ipam")
    types = [conf.get("type"), ipam.get("type") if isinstance(ipam, dict) else None]
    for name in types:
        if name is not None and (not isinstance(name, str) or "/" in name or name in ("", ".", "..") or "\0" in name):
            if isinstance(ipam, dict) and name == "" and name == ipam.get("type"):
                continue  # an empty ipam type means that there is none
            raise DefinitionError(f"network {reference}: plugin type {name!r:.80} is not the name of a plugin")
