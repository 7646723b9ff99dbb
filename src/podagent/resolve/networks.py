"""How a network is attached: the ``attach-via`` setting chooses one of the two ways."""

from __future__ import annotations

from podagent.errors import NetConfError, PodagentError
from podagent.model import Attachment, Invocation, Pod, Record, Sandbox, Via
from podagent.netconf import NetConf
from podagent.resolve.corrected import instead_of
from podagent.resolve.delegate import DelegateNetworks
from podagent.resolve.system import SystemNetworks

_META_PLUGIN = "kactus"


class ChosenNetworks:
    """``system``, ``delegate``, or ``auto``: system when the node's CNI plugin is kactus, else delegate."""

    def __init__(self, attach_via: str, system: SystemNetworks, delegate: DelegateNetworks) -> None:
        self._attach_via = attach_via
        self._system = system
        self._delegate = delegate

    def resolve(self, pod: Pod, attachment: Attachment, sandbox: Sandbox) -> tuple[Via, Invocation]:
        """The call that makes the attachment. The way is chosen each time: the node's configuration may change.

        Raises:
            PodagentError: it is not known now; see the two ways.
        """
        via = self.via()
        return via, (self._system if via is Via.SYSTEM else self._delegate).call(pod, attachment, sandbox)

    def corrected(self, record: Record) -> Invocation | None:
        """The call with today's configuration, if DEL may be tried with that after the recorded one failed."""
        attached = record.result is not None or record.adopted
        corrected = instead_of(record.invocation.netconf, lambda: self._today(record), attached=attached)
        return None if corrected is None else record.invocation._replace(netconf=corrected)

    def via(self) -> Via:
        """The way that is taken now."""
        if self._attach_via != "auto":
            return Via(self._attach_via)
        try:
            return Via.SYSTEM if self._system.netconf().type == _META_PLUGIN else Via.DELEGATE
        except NetConfError:
            return Via.DELEGATE

    def _today(self, record: Record) -> NetConf | None:
        try:
            return self._system.netconf() if record.via is Via.SYSTEM else self._delegate.netconf_today(record)
        except PodagentError:
            return None  # the failure of DEL is the one to report
