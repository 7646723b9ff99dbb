"""Selects system or delegate mode for an attachment, according to the ``attach-via`` setting."""

from __future__ import annotations

from podagent.errors import NoNetConf, PodagentError
from podagent.model import Attachment, Invocation, Pod, Record, Sandbox, Via
from podagent.netconf import NetConf
from podagent.resolve.corrected import instead_of
from podagent.resolve.delegate import DelegateNetworks
from podagent.resolve.system import SystemNetworks

_META_PLUGIN = "kactus"


class ChosenNetworks:
    """``system``, ``delegate``, or ``auto``: system if the node's CNI plugin is kactus, else delegate."""

    def __init__(self, attach_via: str, system: SystemNetworks, delegate: DelegateNetworks) -> None:
        self._attach_via = attach_via
        self._system = system
        self._delegate = delegate

    def resolve(self, pod: Pod, attachment: Attachment, sandbox: Sandbox) -> tuple[Via, Invocation]:
        """The mode and the CNI call. The mode is selected each time: the node's configuration may change.

        Raises:
            PodagentError: the call cannot be determined now; see `SystemNetworks.call` and `DelegateNetworks.call`.
        """
        via = self.via()
        return via, (self._system if via is Via.SYSTEM else self._delegate).call(pod, attachment, sandbox)

    def corrected(self, record: Record) -> Invocation | None:
        """The call for a second DEL with the current configuration, None if there is none; see `instead_of`."""
        attached = record.result is not None or record.adopted
        corrected = instead_of(record.invocation.netconf, lambda: self._today(record), attached=attached)
        return None if corrected is None else record.invocation._replace(netconf=corrected)

    def via(self) -> Via:
        """The mode in effect now. Raises NetConfError: with a faulty configuration of the node it is unknown."""
        if self._attach_via != "auto":
            return Via(self._attach_via)
        try:
            return Via.SYSTEM if self._system.netconf().type == _META_PLUGIN else Via.DELEGATE
        except NoNetConf:
            return Via.DELEGATE

    def _today(self, record: Record) -> NetConf | None:
        try:
            return self._system.netconf() if record.via is Via.SYSTEM else self._delegate.netconf_today(record)
        except PodagentError:
            return None  # the failure of DEL itself is the one to report
