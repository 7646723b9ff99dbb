"""What a call may do, as kactus' configuration and saved delegates determine it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from podagent.decide.dialects.kaloom_names import API
from podagent.errors import NetConfError
from podagent.foreign import Json, lenient
from podagent.host.claims import LinkClaims
from podagent.host.links import host_macs
from podagent.kactus.call import Call
from podagent.kactus.config import Config
from podagent.kactus.state import DEFINITION, MAC, NAMESPACE, read_all
from podagent.model import DefinitionRef
from podagent.netconf import NetConf, parse
from podagent.resolve.macs import MacRule, Plugged
from podagent.resolve.policy import DefinitionPolicy
from podagent.resolve.reach import plugin_types


def definition_policy(call: Call, config: Config) -> DefinitionPolicy:
    """Decides whether a definition may be used in this call."""
    node_plugins = {str(call.conf.get("type", "kactus")), *plugin_types(parse(config.master, "the master delegate"))}
    return DefinitionPolicy(config.rules, lambda: node_plugins, LinkClaims(), lambda: _in_use(config.cni_dir))


def mac_rule(config: Config) -> MacRule:
    """Decides whether a requested MAC address may be used."""
    return MacRule(config.allow_mac, lambda: _plugged(config.cni_dir), host_macs, "allowMac")


def _in_use(cni_dir: str) -> Iterator[tuple[DefinitionRef, NetConf]]:
    for _, delegate, netconf in _saved(cni_dir):
        namespace, _, network = lenient(delegate, DEFINITION, str).partition("/")
        if network:
            yield DefinitionRef(API, namespace, network), netconf


def _plugged(cni_dir: str) -> Iterator[Plugged]:
    for container, delegate, netconf in _saved(cni_dir):
        mac, result = lenient(delegate, MAC, str) or None, lenient(delegate, "prevResult", dict)
        yield Plugged(container, lenient(delegate, NAMESPACE, str), netconf, mac, result)


def _saved(cni_dir: str) -> Iterator[tuple[str, Json, NetConf]]:
    for container, delegate in read_all(cni_dir):
        with suppress(NetConfError):  # damaged by hand: proves nothing
            yield container, delegate, parse(delegate, "a saved delegate")
