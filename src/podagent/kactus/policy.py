"""The policy for network definitions, as kactus' configuration and saved delegates determine it."""

from __future__ import annotations

from collections.abc import Iterator

from podagent.decide.dialects.kaloom_names import API
from podagent.errors import NetConfError
from podagent.foreign import Json
from podagent.host.claims import LinkClaims
from podagent.kactus.call import Call
from podagent.kactus.config import Config
from podagent.kactus.state import DEFINITION, read_all
from podagent.model import DefinitionRef
from podagent.netconf import NetConf, parse
from podagent.resolve.policy import DefinitionPolicy
from podagent.resolve.reach import plugin_types


def definition_policy(call: Call, config: Config) -> DefinitionPolicy:
    """The policy in force for this call."""
    node_plugins = {str(call.conf.get("type", "kactus")), *plugin_types(parse(config.master, "the master delegate"))}
    return DefinitionPolicy(config.rules, lambda: node_plugins, LinkClaims(), lambda: _in_use(config.cni_dir))


def _in_use(cni_dir: str) -> Iterator[tuple[DefinitionRef, NetConf]]:
    for delegate in read_all(cni_dir):
        reference = definition_of(delegate)
        if reference is not None:
            try:
                yield reference, parse(delegate, "a saved delegate")
            except NetConfError:
                continue  # damaged by hand: proves nothing


def definition_of(delegate: Json) -> DefinitionRef | None:
    """The definition of a saved delegate; None if it has none on record."""
    namespace, _, network = str(delegate.get(DEFINITION, "")).partition("/")
    return DefinitionRef(API, namespace, network) if network else None
