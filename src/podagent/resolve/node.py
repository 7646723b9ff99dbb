"""The node's own CNI plugin: does it attach networks for the agent, and does the agent have to wait for it?"""

from __future__ import annotations

from collections.abc import Callable

from podagent.errors import NetConfError, NoNetConf, PluginIgnoresRequests
from podagent.netconf import NetConf
from podagent.resolve.metaplugins import KACTUS, attaches_at_start, attaches_on_request
from podagent.resolve.reach import plugin_types


class NodePlugin:
    """Asked anew each time: the node's configuration may change. Thread-safe if `conf` is."""

    def __init__(self, attach_via: str, conf: Callable[[], tuple[str, NetConf]]) -> None:
        """
        Args:
            attach_via: ``system``, ``delegate``, or ``auto``: system if the node's plugin is kactus, else delegate.
            conf: reads the path and the content of the node's configuration; raises NetConfError.
        """
        self._attach_via = attach_via
        self._conf = conf

    def netconf(self) -> NetConf:
        """The node's configuration. Raises NetConfError."""
        return self._conf()[1]

    def plugin_types(self) -> frozenset[str]:
        """The plugins of the node's configuration; none if there is no valid one."""
        try:
            return frozenset(plugin_types(self.netconf()))
        except NetConfError:
            return frozenset()

    def to_call(self) -> NetConf | None:
        """The configuration that attaches networks on request; None if the agent runs their plugins itself.

        Raises:
            PluginIgnoresRequests: with ``system``, the node's plugin is none that can be asked.
            NetConfError: there is no valid configuration, so it is unknown.
        """
        if self._attach_via == "delegate":
            return None
        try:
            path, netconf = self._conf()
        except NoNetConf:
            if self._attach_via == "system":
                raise
            return None
        if self._attach_via == "auto":
            return netconf if netconf.type == KACTUS else None
        if not attaches_on_request(netconf):
            raise _ignores_requests(path, netconf.type)
        return netconf

    def require_usable(self) -> None:
        """Raises PluginIgnoresRequests. A configuration that is missing or faulty may still be corrected."""
        try:
            self.to_call()
        except PluginIgnoresRequests:
            raise
        except NetConfError:
            return

    def at_pod_start(self) -> str:
        """The plugin that may attach networks when a pod starts, in words; "" if there is none."""
        try:
            path, netconf = self._conf()
        except NoNetConf:
            return ""
        except NetConfError as fault:  # the runtime may use the configuration that was there before
            return f"the node's system plugin (unknown: {fault})"
        return f"the node's system plugin ({path})" if attaches_at_start(netconf) else ""

    def stance(self) -> str:
        """How networks are attached now, in words. Raises NetConfError if none can be."""
        if self.to_call() is not None:
            return f"{self.at_pod_start()} attaches networks"
        if first := self.at_pod_start():
            return (
                f"the agent attaches networks, to each pod only when {first} has set it up, which may attach them too"
            )
        return f"the agent attaches networks, without the node's system plugin ({self._place()})"

    def _place(self) -> str:
        try:
            return self._conf()[0]
        except NetConfError as fault:
            return str(fault)


def _ignores_requests(path: str, plugin: str) -> PluginIgnoresRequests:
    return PluginIgnoresRequests(
        f"attach-via is system, but {path} makes {plugin} the node's system plugin, which attaches the default network"
        " whatever it is asked for: set attach-via to auto or delegate, or make the configuration of kactus the first"
        " in that directory (that of a wrapper of kactus needs 'delegates')"
    )
