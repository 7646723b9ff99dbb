"""Which of the two ways is taken: the ``attach-via`` setting."""

from __future__ import annotations

from podagent.errors import NetConfError
from podagent.model import Attachment, Invocation, Json, Pod, Record, Sandbox, Via
from podagent.resolve.delegate import DelegateNetworks
from podagent.resolve.system import SystemNetworks

_META_PLUGIN = "kactus"


class ChosenNetworks:
    """``system``, ``delegate``, or ``auto``: system when the node's CNI plugin is kactus, else delegate."""

    def __init__(self, attach_via: str, system: SystemNetworks, delegate: DelegateNetworks) -> None:
        self._attach_via = attach_via
        self._system = system
        self._delegate = delegate

    def prepare(self, pod: Pod, attachment: Attachment, sandbox: Sandbox) -> tuple[Via, Invocation]:
        """See the two ways; decided anew each time, since the node's CNI configuration may change."""
        chosen = self._system if self.via() is Via.SYSTEM else self._delegate
        return chosen.prepare(pod, attachment, sandbox)

    def current_netconf(self, record: Record) -> Json | None:
        """The configuration as it is today of what was recorded; None if there is none any more."""
        if record.via is Via.SYSTEM:
            return self._system.current_netconf()
        return self._delegate.current_netconf(record)

    def via(self) -> Via:
        """The way that is taken now."""
        if self._attach_via != "auto":
            return Via(self._attach_via)
        try:
            return Via.SYSTEM if self._system.plugin_type() == _META_PLUGIN else Via.DELEGATE
        except NetConfError:
            return Via.DELEGATE
