"""Converts the pod's annotation and the network definitions to delegates. Pure."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from podagent.decide.dialects.kaloom_names import API
from podagent.errors import DefinitionError, StoreError
from podagent.foreign import Json
from podagent.kactus.config import DEFAULT_GLOBAL_NAMESPACES
from podagent.kactus.failure import INVALID_CONFIG, IO_FAILURE, Failure
from podagent.kactus.state import DEFINITION, OWN_PREFIX
from podagent.model import Attachment, DefinitionRef
from podagent.resolve.definition import to_netconf
from podagent.resolve.lookup import Read, find
from podagent.resolve.policy import DefinitionPolicy

_OURS = ("masterPlugin", "masterplugin", "networkName", "prevResult")


class Wanted(NamedTuple):
    """The networks of a pod at its start.

    Attributes:
        primary: the network that replaces the master delegate on the default interface, None for the master.
        others: the networks with interfaces of their own, lower layers first.
    """

    primary: Attachment | None
    others: tuple[Attachment, ...]


def read_wanted(
    annotation: str | None, namespace: str, global_namespaces: Collection[str] = DEFAULT_GLOBAL_NAMESPACES
) -> Wanted:
    """Parses the annotation for kactus, which ignores ``podagentSkip``. Raises Failure (code 7)."""
    from podagent.decide.dialects.kaloom import read_entries  # noqa: PLC0415 - not needed to attach a single network

    entries = read_entries(annotation, namespace, global_namespaces)
    if entries.nameless or entries.faulty:
        raise Failure(INVALID_CONFIG, f"pod annotation: {'; '.join(entries.problems)}")
    if len(entries.primaries) > 1:
        raise Failure(INVALID_CONFIG, "pod annotation: only one network can be primary")
    primary = [each for each in entries.attachments if each.ifname in entries.primaries]
    others = [each for each in entries.attachments if each.ifname not in entries.primaries]
    return Wanted(primary[0] if primary else None, tuple(others))


def delegate_for(
    network: Attachment,
    pod_namespace: str,
    read: Read,
    global_namespaces: Collection[str] = DEFAULT_GLOBAL_NAMESPACES,
    *,
    policy: DefinitionPolicy,
) -> Json:
    """The delegate configuration from a network's definition, with ``type`` and ``networkName``.

    A key of our own refers to the definition.

    Raises:
        Failure: the definition does not exist, is malformed or refused (code 7); the makers of bridges are unknown (5).
    """
    try:
        reference, definition = find(network.definition, pod_namespace, global_namespaces, read)
        return _delegate(definition, reference, policy)
    except DefinitionError as fault:
        raise Failure(INVALID_CONFIG, str(fault)) from None
    except StoreError as fault:
        raise Failure(IO_FAILURE, str(fault)) from None


def delegate_today(kept: Json, read: Read, *, policy: DefinitionPolicy) -> Json | None:
    """The current form of a saved delegate; None if its definition is gone, malformed or unavailable."""
    namespace, _, network = str(kept.get(DEFINITION, "")).partition("/")
    if not network:
        return None
    reference = DefinitionRef(API, namespace, network)
    try:
        definition = read(reference)
        return None if definition is None else _delegate(definition, reference, policy)
    except (DefinitionError, StoreError, Failure):
        return None  # the failure of DEL itself is the one to report


def _delegate(definition: Json, reference: DefinitionRef, policy: DefinitionPolicy) -> Json:
    netconf = policy.permitted(to_netconf(definition, reference), reference)
    own = {"networkName": reference.name, DEFINITION: str(reference)}
    first, *more = [_without_ours(conf) for conf in netconf.plugins]
    if more:  # a chain, which Kaloom's kactus does not support: saved whole, with the type of its first plugin
        return {**_without_ours(netconf.json), "type": first["type"], "plugins": [first, *more], **own}
    return {**first, "cniVersion": netconf.json["cniVersion"], "name": netconf.name, **own}


def _without_ours(conf: Json) -> Json:
    """Removes keys by which a definition could pose as the default interface, or as something attached."""
    return {key: value for key, value in conf.items() if key not in _OURS and not key.startswith(OWN_PREFIX)}
