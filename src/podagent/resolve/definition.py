"""Converts a ``networks.kaloom.com/v1`` object to a network configuration list. Pure; the input is untrusted.

``spec.plugin`` is the plugin's type, ``spec.config`` its configuration as JSON text. If the configuration has a
``plugins`` list (a chain), ``spec.plugin`` is the type of its first plugin.
"""

from __future__ import annotations

from functools import lru_cache

from podagent.errors import DefinitionError, NetConfError
from podagent.foreign import Json, json_object
from podagent.model import DefinitionRef
from podagent.netconf import NetConf, parse

_LARGEST_CONFIG = 1 << 20


def to_netconf(definition: Json, reference: DefinitionRef) -> NetConf:
    """The network configuration list for `definition`.

    Args:
        definition: the API object.
        reference: its name and namespace, for messages.

    Raises:
        DefinitionError: it is malformed.
    """
    spec = definition.get("spec")
    if not isinstance(spec, dict):
        raise DefinitionError(f"network {reference} has no spec")
    plugin = spec.get("plugin")
    if not isinstance(plugin, str) or not plugin:
        raise DefinitionError(f"network {reference}: spec.plugin must name a CNI plugin")
    text = spec.get("config")
    if not isinstance(text, str) or len(text) > _LARGEST_CONFIG:
        raise DefinitionError(f"network {reference}: spec.config must be JSON text of at most 1 MiB")
    return _netconf(plugin, text, reference)


@lru_cache(maxsize=128)
def _netconf(plugin: str, text: str, reference: DefinitionRef) -> NetConf:
    """Cached so that all records of a network share one copy, which is never modified."""
    try:
        config = json_object(text)
    except ValueError as error:
        raise DefinitionError(f"network {reference}: spec.config: {error}") from None
    config.setdefault("name", reference.name)
    try:
        return parse(_with_type(config, plugin, reference), origin=f"network {reference}")
    except NetConfError as error:
        raise DefinitionError(str(error)) from error


def _with_type(config: Json, plugin: str, reference: DefinitionRef) -> Json:
    chain = config.get("plugins")
    if chain is None:
        return {**config, "type": plugin}
    if not isinstance(chain, list) or not chain or not isinstance(chain[0], dict):
        raise DefinitionError(f"network {reference}: plugins must be a list of CNI plugin configurations")
    if chain[0].setdefault("type", plugin) != plugin:
        raise DefinitionError(f"network {reference}: spec.plugin is not the type of the first plugin in spec.config")
    return config
