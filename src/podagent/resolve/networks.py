"""Selects system or delegate mode for an attachment, according to the ``attach-via`` setting and the node's plugin."""

from __future__ import annotations

from collections.abc import Callable

from podagent.errors import PodagentError, PodNotReady
from podagent.model import Attachment, Invocation, Pod, Record, Sandbox, Via
from podagent.netconf import NetConf
from podagent.resolve.corrected import instead_of
from podagent.resolve.delegate import DelegateNetworks
from podagent.resolve.metaplugins import attaches_on_request
from podagent.resolve.node import NodePlugin
from podagent.resolve.system import SystemNetworks


class ChosenNetworks:
    """Both modes. The mode is selected each time."""

    def __init__(
        self,
        node: NodePlugin,
        system: SystemNetworks,
        delegate: DelegateNetworks,
        has_attached: Callable[[str, str], bool],
        bin_dirs: Callable[[], tuple[str, ...]],
    ) -> None:
        """
        Args:
            has_attached: whether the node's kactus has attached this network (by name) to this sandbox (by ID).
            bin_dirs: the node's CNI plugin directories.
        """
        self._node = node
        self._system = system
        self._delegate = delegate
        self._has_attached = has_attached
        self._bin_dirs = bin_dirs

    def resolve(self, pod: Pod, attachment: Attachment, sandbox: Sandbox) -> tuple[Via, Invocation]:
        """The mode and the CNI call.

        Raises:
            PodNotReady: the kubelet's ADD may still attach the network.
            PodagentError: the call cannot be determined now; see `NodePlugin.to_call`, `SystemNetworks.call` and
                `DelegateNetworks.call`.
        """
        netconf = self._node.to_call() or self._of_pod_start(pod, attachment, sandbox)
        if netconf is None:
            return Via.DELEGATE, self._delegate.call(pod, attachment, sandbox)
        return Via.SYSTEM, self._system.call(pod, attachment, sandbox, netconf)

    def corrected(self, record: Record) -> Invocation | None:
        """The call for a second DEL with the current configuration, see `instead_of`, and where plugins are now.

        None if there is neither.
        """
        recorded, attached = record.invocation, record.result is not None or record.adopted
        corrected = instead_of(recorded.netconf, lambda: self._today(record), attached=attached)
        moved_to = [each for each in self._bin_dirs() if each not in recorded.path]
        if corrected is None and not moved_to:
            return None
        return recorded._replace(netconf=corrected or recorded.netconf, path=(*recorded.path, *moved_to))

    def _of_pod_start(self, pod: Pod, attachment: Attachment, sandbox: Sandbox) -> NetConf | None:
        """The node's configuration if its plugin has attached the network: then only that can detach it completely."""
        first = self._node.at_pod_start()
        if not first:
            return None
        if not sandbox.populated:
            raise PodNotReady(f"pod {pod.key} is still being set up by the kubelet, with {first}")
        return self._node.netconf() if self._has_attached(sandbox.id, attachment.network) else None

    def _today(self, record: Record) -> NetConf | None:
        try:
            return self._of_node_today() if record.via is Via.SYSTEM else self._delegate.netconf_today(record)
        except PodagentError:
            return None  # the failure of DEL itself is the one to report

    def _of_node_today(self) -> NetConf | None:
        netconf = self._node.netconf()
        return netconf if attaches_on_request(netconf) else None
