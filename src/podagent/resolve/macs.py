"""Decides whether a requested MAC address is free on the network's segment of this node. Pure.

Two ports of a bridge with one address take each other's frames. So a pod gets neither the address of the bridge or of
one of its ports, nor that of a pod that it does not belong with.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import NamedTuple

from podagent.errors import MacRefused
from podagent.foreign import Json, lenient
from podagent.netconf import NetConf
from podagent.resolve.reach import host_links
from podagent.resolve.rules import ANY, NONE


class Plugged(NamedTuple):
    """An attachment of some pod on this node.

    Attributes:
        pod: identifies the pod.
        namespace: of the pod, "" if unknown.
        netconf: the configuration it was attached with.
        mac: the address it requested, None if none.
        result: the result of its ADD, None if unknown.
    """

    pod: object
    namespace: str
    netconf: NetConf
    mac: str | None
    result: Json | None


class MacRule:
    """The setting ``allow-mac``."""

    def __init__(
        self,
        allow: str,
        plugged: Callable[[], Iterable[Plugged]],
        host_macs: Callable[[str], Collection[str]],
        setting: str = "allow-mac",
    ) -> None:
        """
        Args:
            allow: `ANY`, `OWN_NAMESPACE` or `NONE`; see `rules`.
            plugged: all attachments on the node.
            host_macs: the addresses of a link of the host and of its ports.
            setting: the name of the setting, for errors.
        """
        self._allow = allow
        self._plugged = plugged
        self._host_macs = host_macs
        self._setting = setting

    def require_allowed(self, mac: str | None, pod: object, namespace: str, netconf: NetConf) -> None:
        """Raises MacRefused if `pod` may not have the address on this network."""
        if mac is None or self._allow == ANY:
            return
        if self._allow == NONE:
            raise MacRefused(f"MAC address {mac} may not be requested: {self._setting} is {NONE}")
        user = self._user(mac, pod, namespace, netconf)
        if user:
            raise MacRefused(f"MAC address {mac} is in use on network {netconf.name} by {user}; see {self._setting}")

    def _user(self, mac: str, pod: object, namespace: str, netconf: NetConf) -> str:
        segments = {link.name for link in host_links(netconf)}
        for link in sorted(segments):
            if mac in self._host_macs(link):
                return f"link {link} of the host or one of its ports"
        for other in self._plugged():
            foreign = other.pod != pod and (other.namespace != namespace or not namespace)
            if foreign and mac in _macs(other) and _shares(other.netconf, netconf.name, segments):
                return "a pod of another namespace"
        return ""


def _shares(netconf: NetConf, name: str, segments: set[str]) -> bool:
    return netconf.name == name or any(link.name in segments for link in host_links(netconf))


def _macs(plugged: Plugged) -> Iterator[str]:
    if plugged.mac is not None:
        yield plugged.mac
    for interface in lenient(plugged.result, "interfaces", list):
        if lenient(interface, "sandbox", str):
            yield lenient(interface, "mac", str).lower()
