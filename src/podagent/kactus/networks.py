"""From the pod's annotation and the network definitions to delegates. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import NamedTuple

from podagent.decide.dialects.kaloom import read_annotation
from podagent.errors import DefinitionError
from podagent.kactus.config import DEFAULT_GLOBAL_NAMESPACES
from podagent.kactus.failure import INVALID_CONFIG, Failure
from podagent.kactus.state import DEFINITION, OWN_PREFIX
from podagent.model import Attachment, Json
from podagent.resolve.definition import definition_namespaces, to_netconf

_OURS = ("masterPlugin", "masterplugin", "networkName", "prevResult")

Lookup = Callable[[str, str], "Json | None"]
"""(namespace, name) -> the networks.kaloom.com object, None if there is none."""


class Wanted(NamedTuple):
    """The networks of a pod at its start.

    Attributes:
        primary: takes the default interface, in the master delegate's place; None: the master has it.
        others: each on its own interface, lower layers first.
    """

    primary: Attachment | None
    others: tuple[Attachment, ...]


def read_wanted(
    annotation: str | None, namespace: str, global_namespaces: Collection[str] = DEFAULT_GLOBAL_NAMESPACES
) -> Wanted:
    """What the annotation asks kactus for; ``podagentSkip`` concerns only the agent. Raises Failure (code 7)."""
    desired = read_annotation(annotation, namespace, global_namespaces)
    if desired.faulty:
        raise Failure(INVALID_CONFIG, f"pod annotation: {'; '.join(desired.problems)}")
    if len(desired.primaries) > 1:
        raise Failure(INVALID_CONFIG, "pod annotation: only one network can be primary")
    primary = [entry for entry in desired.entries if entry.ifname in desired.primaries]
    others = [entry for entry in desired.entries if entry.ifname not in desired.primaries]
    return Wanted(primary[0] if primary else None, tuple(others))


def delegate_for(
    network: Attachment,
    pod_namespace: str,
    lookup: Lookup,
    global_namespaces: Collection[str] = DEFAULT_GLOBAL_NAMESPACES,
) -> Json:
    """The delegate configuration of a network: that of its definition, with ``type`` and ``networkName``.

    It also says which definition that was, under a key of our own.

    Raises:
        Failure: there is no such definition, or it is malformed (code 7).
    """
    namespaces = definition_namespaces(network.namespace, pod_namespace, global_namespaces)
    for namespace in namespaces:
        definition = lookup(namespace, network.network)
        if definition is not None:
            return _delegate(definition, f"{namespace}/{network.network}", network.network)
    places = " or ".join(namespaces) or "any namespace, as the call names none"
    raise Failure(INVALID_CONFIG, f"network {network.network} is not defined: no networks.kaloom.com in {places}")


def delegate_today(kept: Json, lookup: Lookup) -> Json | None:
    """What a kept delegate's definition says today; None if it is gone or malformed, or cannot be had."""
    namespace, _, network = str(kept.get(DEFINITION, "")).partition("/")
    if not network:
        return None
    try:
        definition = lookup(namespace, network)
        return None if definition is None else _delegate(definition, f"{namespace}/{network}", network)
    except Failure:
        return None  # the failure of DEL is what is told


def _delegate(definition: Json, reference: str, network: str) -> Json:
    try:
        netconf = to_netconf(definition, reference)
    except DefinitionError as fault:
        raise Failure(INVALID_CONFIG, str(fault)) from None
    first, *more = [_without_ours(conf) for conf in netconf["plugins"]]
    if more:  # a chain, which Kaloom's does not know: kept whole, under the type of its first plugin
        own = {"type": first["type"], "plugins": [first, *more], "networkName": network, DEFINITION: reference}
        return {**_without_ours(netconf), **own}
    head = {"cniVersion": netconf["cniVersion"], "name": netconf["name"]}
    return {**first, **head, "networkName": network, DEFINITION: reference}


def _without_ours(conf: Json) -> Json:
    """What a definition must not say: it would pass for the pod's default interface, or for something attached."""
    return {key: value for key, value in conf.items() if key not in _OURS and not key.startswith(OWN_PREFIX)}
