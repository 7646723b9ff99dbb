"""Turns a ``networks.kaloom.com/v1`` object into a CNI network configuration list. Pure; its bytes are hostile.

``spec.plugin`` is the plugin's type, ``spec.config`` its configuration as JSON text. A config with a ``plugins`` list
is a chain; ``spec.plugin`` then is the type of its first plugin.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache

from podagent.cni.conf import parse_list
from podagent.errors import DefinitionError, NetConfError
from podagent.foreign import json_object
from podagent.model import Json

_FALLBACK_NAMESPACE = "default"
_LARGEST_CONFIG = 1 << 20


def definition_namespaces(named: str | None, pod_namespace: str, global_namespaces: Collection[str]) -> list[str]:
    """Where a network's definition is looked for, in this order.

    Args:
        named: the namespace that the annotation's entry gives, if it does: then only there.
        pod_namespace: the pod's, "" if it is not known.
        global_namespaces: those whose definitions the pods of every namespace may use.
    """
    fallback = _FALLBACK_NAMESPACE if _FALLBACK_NAMESPACE in global_namespaces else ""
    candidates = [named] if named else [pod_namespace, fallback]
    return list(dict.fromkeys(namespace for namespace in candidates if namespace))


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
    text = spec.get("config")
    if not isinstance(text, str) or len(text) > _LARGEST_CONFIG:
        raise DefinitionError(f"network {reference}: spec.config must be JSON text of at most 1 MiB")
    return _netconf(plugin, text, reference)


@lru_cache(maxsize=128)
def _netconf(plugin: str, text: str, reference: str) -> Json:
    """Cached so that the records of one network share one copy; nobody changes it."""
    try:
        config = json_object(text)
    except ValueError as error:
        raise DefinitionError(f"network {reference}: spec.config: {error}") from None
    config.setdefault("name", reference.partition("/")[2])
    try:
        netconf = parse_list(_with_type(config, plugin, reference), origin=f"network {reference}")
    except NetConfError as error:
        raise DefinitionError(str(error)) from error
    for conf in netconf["plugins"]:
        _check_ipam_type(conf, reference)
    return netconf


def _with_type(config: Json, plugin: str, reference: str) -> Json:
    chain = config.get("plugins")
    if chain is None:
        return {**config, "type": plugin}
    if not isinstance(chain, list) or not chain or not isinstance(chain[0], dict):
        raise DefinitionError(f"network {reference}: plugins must be a list of CNI plugin configurations")
    if chain[0].setdefault("type", plugin) != plugin:
        raise DefinitionError(f"network {reference}: spec.plugin is not the type of the first plugin in spec.config")
    return config


def _check_ipam_type(conf: Json, reference: str) -> None:
    """The IPAM plugin is looked up by the plugin itself: here is the last place where a path in its type is seen."""
    ipam = conf.get("ipam")
    name = ipam.get("type", "") if isinstance(ipam, dict) else ""
    if not isinstance(name, str) or name in (".", "..") or "/" in name or "\0" in name:
        raise DefinitionError(f"network {reference}: ipam.type {name!r:.80} is not the name of a plugin")
