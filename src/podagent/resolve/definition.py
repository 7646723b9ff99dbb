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

_LARGEST_CONFIG = 64 << 10
_MOST_VALUES = 4000
_LONGEST_CHAIN = 32
# Larger ones are rare, and would make the memory for the cache a tenant's choice.
_LARGEST_CACHED = 4 << 10


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
        raise DefinitionError(
            f"network {reference}: spec.config must be JSON text of at most {_LARGEST_CONFIG >> 10} KiB"
        )
    return _netconf(plugin, text, reference) if len(text) > _LARGEST_CACHED else _shared(plugin, text, reference)


@lru_cache(maxsize=128)
def _shared(plugin: str, text: str, reference: DefinitionRef) -> NetConf:
    """Cached so that all records of a network share one copy, which is never modified."""
    return _netconf(plugin, text, reference)


def _netconf(plugin: str, text: str, reference: DefinitionRef) -> NetConf:
    try:
        config = json_object(text)
    except ValueError as error:
        raise DefinitionError(f"network {reference}: spec.config: {error}") from None
    if _count_values(config) > _MOST_VALUES:
        raise DefinitionError(f"network {reference}: spec.config: more than {_MOST_VALUES} JSON values")
    config.setdefault("name", reference.name)
    try:
        netconf = parse(_with_type(config, plugin, reference), origin=f"network {reference}")
    except NetConfError as error:
        raise DefinitionError(str(error)) from error
    if len(netconf.plugins) > _LONGEST_CHAIN:
        raise DefinitionError(f"network {reference}: a chain of more than {_LONGEST_CHAIN} plugins")
    return netconf


def _count_values(config: Json) -> int:
    found: list[object] = [config]
    for value in found:  # grows meanwhile
        found += value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return len(found)


def _with_type(config: Json, plugin: str, reference: DefinitionRef) -> Json:
    chain = config.get("plugins")
    if chain is None:
        return {**config, "type": plugin}
    if not isinstance(chain, list) or not chain or not isinstance(chain[0], dict):
        raise DefinitionError(f"network {reference}: plugins must be a list of CNI plugin configurations")
    if chain[0].setdefault("type", plugin) != plugin:
        raise DefinitionError(f"network {reference}: spec.plugin is not the type of the first plugin in spec.config")
    return config
