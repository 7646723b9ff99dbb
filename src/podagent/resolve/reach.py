"""What a CNI configuration reaches on the host: plugins that it runs, options, links. Pure.

Plugins decode JSON with Go, which matches keys without regard to case and reads every spelling that is there. So keys
are compared case-folded here, and every occurrence counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from podagent.foreign import Json
from podagent.netconf import NetConf

META_PLUGINS = frozenset({"kactus", "multus", "multus-cni", "multus-shim", "multus-daemon", "genie", "danm"})
"""Plugins that run other plugins with a configuration, or credentials, of their own."""

REFERENCE_PLUGINS = frozenset(
    {"bandwidth", "bridge", "dhcp", "dummy", "firewall", "host-device", "host-local", "ipvlan", "loopback", "macvlan"}
    | {"portmap", "ptp", "sbr", "static", "tap", "tuning", "vlan", "vrf"}
)
"""The plugins of the CNI project."""

HOST_OPTIONS = {
    "dataDir": "chooses where root writes files",
    "resolvConf": "reads a file of the host",
    "daemonSocketPath": "connects root to a socket",
    "kubeconfig": "chooses credentials, which may run a command",
    "kubernetes": "chooses credentials, which may run a command",
    "cniDir": "chooses where root writes files",
    "logFile": "chooses where root writes files",
    "log_file": "chooses where root writes files",
    "configuration_path": "reads a file of the host",
    "socket_file": "connects root to a socket",
    "etcd_host": "connects to another data store",
    "forceAddress": "replaces addresses of the host",
    "isGateway": "gives the host an address",
    "isDefaultGateway": "gives the host an address",
    "ipMasq": "changes the host's packet filter",
    "pciBusID": "takes a device of the host",
    "kernelpath": "takes a device of the host",
    "hwaddr": "takes a device of the host",
    "deviceID": "takes a device of the host",
    "prevResult": "poses as the result of another plugin",
    "runtimeConfig": "poses as the runtime",
}
"""Options of the reference plugins and of widespread others by which a plugin acts on the host, with the reason."""

_MOVING_PLUGINS = frozenset({"host-device", "sriov", "ib-sriov", "rdma", "accelerated-bridge"})
_FOLDED_OPTIONS = {option.casefold(): option for option in HOST_OPTIONS}
_LINK_KEYS = ("master", "bridge", "device")
_DEFAULT_BRIDGE = "cni0"
# Without a master they use the link of the host's default route.
_NEED_MASTER = frozenset({"macvlan", "ipvlan", "vlan"})


class HostLink(NamedTuple):
    """A link of the host that a plugin works on.

    Attributes:
        name: its name; "" if the plugin chooses one.
        created: the plugin creates it if there is none.
    """

    name: str
    created: bool


def plugin_types(netconf: NetConf) -> Iterator[str]:
    """The plugins that the configuration runs or may run: in the chain, as IPAM, as delegates at any depth."""
    for key, value in members(netconf.plugins):
        if key == "type" and isinstance(value, str):
            yield value


def host_options(netconf: NetConf) -> Iterator[str]:
    """The keys of `HOST_OPTIONS` that are set, at any depth."""
    for key, value in members(netconf.plugins):
        if key in _FOLDED_OPTIONS and value not in (None, False, ""):
            yield _FOLDED_OPTIONS[key]
        elif key == "sysctl" and not _only_of_namespace(value):
            yield "sysctl"


def host_links(netconf: NetConf) -> Iterator[HostLink]:
    """The links of the host that the plugins of the chain work on."""
    for plugin in netconf.plugins:
        yield from _links_of(plugin)


def moves_links(netconf: NetConf) -> bool:
    """Whether ADD moves a device of the host into the pod, and DEL the link of that name back."""
    return not _MOVING_PLUGINS.isdisjoint(plugin_types(netconf))


def _links_of(plugin: Json) -> Iterator[HostLink]:
    members = [(key.casefold(), value) for key, value in plugin.items()]
    inside = [value for key, value in members if key == "linkincontainer"]
    if inside and all(value is True for value in inside):
        return
    named = [(key, value) for key, value in members if key in _LINK_KEYS and value not in (None, "")]
    for key, value in named:
        yield HostLink(str(value), created=plugin["type"] == key == "bridge")
    keys = {key for key, _ in named}
    if plugin["type"] == "bridge" and "bridge" not in keys:
        yield HostLink(_DEFAULT_BRIDGE, created=True)
    elif plugin["type"] in _NEED_MASTER and "master" not in keys:
        yield HostLink("", created=False)


def members(value: object) -> Iterator[tuple[str, Any]]:
    """All members of all objects in `value`, with case-folded keys."""
    rest = [value]
    while rest:
        value = rest.pop()
        if isinstance(value, list):
            rest += value
        elif isinstance(value, dict):
            for key, member in value.items():
                yield key.casefold(), member
            rest += value.values()


def _only_of_namespace(sysctl: object) -> bool:
    """Whether all kernel parameters belong to the pod's network namespace, with no way out of their directory."""
    if not isinstance(sysctl, dict):
        return not sysctl
    return all(key.startswith(("net.", "net/")) and ".." not in key and "/." not in key for key in sysctl)
