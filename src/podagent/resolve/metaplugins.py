"""Which configurations of a node attach networks of annotations: at pod start, or one on request. Pure."""

from __future__ import annotations

from podagent.netconf import NetConf
from podagent.resolve.reach import META_PLUGINS, REFERENCE_PLUGINS, members, plugin_types

KACTUS = "kactus"
# kactus and multus cannot work without one of them, whatever name they are installed under.
_MARKS = frozenset({"delegates", "clusternetwork"})
_IGNORE_REQUESTS = (META_PLUGINS | REFERENCE_PLUGINS) - {KACTUS}


def attaches_at_start(netconf: NetConf) -> bool:
    """Whether a plugin, anywhere in the chain, may attach the networks of a pod's annotations when the pod starts."""
    if not META_PLUGINS.isdisjoint(plugin_types(netconf)):
        return True
    return any(key in _MARKS and value for key, value in members(netconf.plugins))


def attaches_on_request(netconf: NetConf) -> bool:
    """Whether the plugin attaches the one network that CNI_ARGS name, as kactus does.

    All others ignore that argument, and connect the pod to the node's default network once more. A plugin of an unknown
    name is trusted if it has ``delegates``: it may be a kactus under another name, or a wrapper of one.
    """
    if netconf.type == KACTUS:
        return True
    return netconf.type not in _IGNORE_REQUESTS and bool(netconf.plugins[0].get("delegates"))
