"""Decides whether a network definition may be used as it is. Pure; the caller supplies the state of the host.

Plugins run as root. So definitions in *trusted* namespaces may do anything but run meta-plugins, and those of all other
namespaces only what stays within their pods and the links that they made.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from fnmatch import fnmatchcase
from hashlib import sha256
from typing import Protocol

from podagent.errors import DefinitionRefused
from podagent.foreign import printable
from podagent.model import DefinitionRef
from podagent.netconf import NetConf
from podagent.resolve.reach import (
    HOST_OPTIONS,
    META_PLUGINS,
    REFERENCE_PLUGINS,
    HostLink,
    host_links,
    host_options,
    plugin_types,
)
from podagent.resolve.rules import Rules

# IPAM plugins name files and directories after the network.
_LONGEST_NAME = 200
_LONGEST_SHOWN = 80

InUse = tuple[DefinitionRef, NetConf]
"""A definition that has attachments on the node, and the configuration they were made with."""


class Links(Protocol):
    """Which namespace's definitions made a link of the host. Raises PodagentError."""

    def owns(self, namespace: str, link: str) -> bool: ...

    def make_bridge(self, namespace: str, bridge: str) -> bool:
        """Creates a bridge for `namespace`; returns False if there is a link of that name."""

    def grant(self, namespace: str, link: str) -> None: ...


class DefinitionPolicy:
    """Checks definitions against the rules."""

    def __init__(
        self,
        rules: Rules,
        node_plugins: Callable[[], Collection[str]],
        links: Links,
        in_use: Callable[[], Iterable[InUse]],
    ) -> None:
        """
        Args:
            node_plugins: the plugin types in the node's own configuration.
            links: the makers of links.
            in_use: all definitions that have attachments on the node.
        """
        self._rules = rules
        self._node_plugins = node_plugins
        self._links = links
        self._in_use = in_use

    def permitted(self, netconf: NetConf, reference: DefinitionRef) -> NetConf:
        """The configuration to use for a definition.

        That of an untrusted namespace gets the namespace as prefix of its CNI network name, under which IPAM keeps
        leases. As long as attachments under the plain name exist on the node, the name stays plain: a second pool with
        the same addresses would assign them twice.

        Raises:
            DefinitionRefused: the text names the rule and the setting.
        """
        self._refuse_meta_plugins(netconf, reference)
        if self._rules.trusted is None or reference.namespace in self._rules.trusted:
            return netconf
        self._refuse_plugins(netconf, reference)
        self._refuse_options(netconf, reference)
        self._refuse_links(netconf, reference)
        if (reference, netconf.name) in ((used, conf.name) for used, conf in self._in_use()):
            return netconf
        return NetConf({**netconf.json, "name": _prefixed(reference.namespace, netconf.name)})

    def _refuse_meta_plugins(self, netconf: NetConf, reference: DefinitionRef) -> None:
        for plugin in plugin_types(netconf):
            if plugin in META_PLUGINS or self._is_of_node(plugin):
                what = f"CNI plugin {printable(plugin, _LONGEST_SHOWN)} is a meta-plugin or the node's system plugin"
                raise DefinitionRefused(f"network {reference}: {what}: no network definition may run it")

    def _is_of_node(self, plugin: str) -> bool:
        """Whether only the node's own configuration may name it; that is read from disk only if need be."""
        ordinary = plugin in REFERENCE_PLUGINS or plugin in self._rules.plugins
        return not ordinary and plugin in self._node_plugins()

    def _refuse_plugins(self, netconf: NetConf, reference: DefinitionRef) -> None:
        for plugin in plugin_types(netconf):
            if plugin not in self._rules.plugins:
                raise self._refusal(reference, f"CNI plugin {printable(plugin, _LONGEST_SHOWN)}", "allowed-plugins")

    def _refuse_options(self, netconf: NetConf, reference: DefinitionRef) -> None:
        for option in host_options(netconf):
            if option not in self._rules.options:
                why = HOST_OPTIONS.get(option, "changes kernel parameters of the host")
                raise self._refusal(reference, f"option {option}, which {why},", "allowed-options")

    def _refuse_links(self, netconf: NetConf, reference: DefinitionRef) -> None:
        for link in host_links(netconf):
            if not self._may_use(link, reference.namespace):
                what = (
                    f"link {printable(link.name, _LONGEST_SHOWN)} of the host"
                    if link.name
                    else "the link of the host's default route"
                )
                raise self._refusal(reference, what, "allowed-links")

    def _may_use(self, link: HostLink, namespace: str) -> bool:
        if any(fnmatchcase(link.name, pattern) for pattern in self._rules.links):
            return True
        if self._links.owns(namespace, link.name):
            return True
        if link.created and self._links.make_bridge(namespace, link.name):
            return True
        # A bridge that was made before claims were kept.
        if not any(used.namespace == namespace and link in host_links(conf) for used, conf in self._in_use()):
            return False
        self._links.grant(namespace, link.name)
        return True

    def _refusal(self, reference: DefinitionRef, what: str, setting: str) -> DefinitionRefused:
        spell = self._rules.spell
        remedy = f"an administrator can add it to {spell(setting)}, or the namespace to {spell('trusted-namespaces')}"
        about = f"{what} is not allowed for definitions of namespace {reference.namespace}"
        return DefinitionRefused(f"network {reference}: {about}; {remedy}")


def _prefixed(namespace: str, name: str) -> str:
    # Namespaces have no dots, so no two pairs yield the same name.
    name = name if len(name) <= _LONGEST_NAME - 64 else sha256(name.encode()).hexdigest()
    return f"{namespace}.{name}"
