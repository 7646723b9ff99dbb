"""From the pod's annotation and the network definitions to delegates. Pure."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from podagent.decide.dialects.kaloom_names import API
from podagent.errors import DefinitionError
from podagent.foreign import Json
from podagent.kactus.config import DEFAULT_GLOBAL_NAMESPACES
from podagent.kactus.failure import INVALID_CONFIG, Failure
from podagent.kactus.state import DEFINITION, OWN_PREFIX
from podagent.model import Attachment, DefinitionRef
from podagent.resolve.definition import to_netconf
from podagent.resolve.lookup import Read, find

_OURS = ("masterPlugin", "masterplugin", "networkName", "prevResult")


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
    from podagent.decide.dialects.kaloom import read_entries  # noqa: PLC0415 - one network by its name needs none of it

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
) -> Json:
    """The delegate configuration of a network: that of its definition, with ``type`` and ``networkName``.

    It also says which definition that was, under a key of our own.

    Raises:
        Failure: there is no such definition, or it is malformed (code 7).
    """
    try:
        reference, definition = find(network.definition, pod_namespace, global_namespaces, read)
        return _delegate(definition, reference)
    except DefinitionError as fault:
        raise Failure(INVALID_CONFIG, str(fault)) from None


def delegate_today(kept: Json, read: Read) -> Json | None:
    """What a kept delegate's definition says today; None if it is gone or malformed, or cannot be had."""
    namespace, _, network = str(kept.get(DEFINITION, "")).partition("/")
    if not network:
        return None
    reference = DefinitionRef(API, namespace, network)
    try:
        definition = read(reference)
        return None if definition is None else _delegate(definition, reference)
    except (DefinitionError, Failure):
        return None  # the failure of DEL is the one to report


def _delegate(definition: Json, reference: DefinitionRef) -> Json:
    netconf = to_netconf(definition, reference)
    own = {"networkName": reference.name, DEFINITION: str(reference)}
    first, *more = [_without_ours(conf) for conf in netconf.plugins]
    if more:  # a chain, which Kaloom's does not know: kept whole, under the type of its first plugin
        return {**_without_ours(netconf.json), "type": first["type"], "plugins": [first, *more], **own}
    return {**first, "cniVersion": netconf.version, "name": netconf.name, **own}


def _without_ours(conf: Json) -> Json:
    """What a definition must not say: it would pass for the pod's default interface, or for something attached."""
    return {key: value for key, value in conf.items() if key not in _OURS and not key.startswith(OWN_PREFIX)}
