"""The original's way: the node's system CNI plugin is called with the attachment named in CNI_ARGS.

Only a meta-plugin such as kactus understands that. At pod start it attaches the annotated networks itself, so the agent
keeps off until the kubelet has finished setting the pod up.
"""

from __future__ import annotations

from collections.abc import Callable

from podagent.errors import PodNotReady
from podagent.model import Attachment, Invocation, Pod, Sandbox
from podagent.netconf import NetConf
from podagent.resolve.args import pod_args


class SystemNetworks:
    """Attaches through the node's system CNI plugin."""

    def __init__(self, netconf: Callable[[], NetConf], bin_dir: str, vendor: str) -> None:
        """
        Args:
            netconf: gives the CNI configuration of the node; raises NetConfError without one.
            bin_dir: the node's CNI plugin directory.
            vendor: vendor name, "" for none; decides where the plugin is looked up first.
        """
        self.netconf = netconf
        self._bin_dir = bin_dir
        self._vendor = vendor

    def call(self, pod: Pod, attachment: Attachment, sandbox: Sandbox) -> Invocation:
        """How the system plugin is called for this attachment.

        Raises:
            PodNotReady: the kubelet has not finished with the pod.
            NetConfError: the node has no valid CNI configuration.
        """
        if pod.phase != "Running" or not sandbox.populated:
            raise PodNotReady(f"pod {pod.key} is still being set up by the kubelet")
        netconf = self.netconf()
        args = (
            *pod_args(pod, sandbox),
            ("K8S_POD_NETWORK", attachment.network),
            ("K8S_POD_IFMAC", attachment.mac or ""),
        )
        if attachment.definition.namespace:
            # An argument of ours, which Kaloom's kactus ignores: it knows the pod's namespace and `default` only.
            args = (*args, ("K8S_POD_NETWORK_NAMESPACE", attachment.definition.namespace))
        return Invocation(netconf, self._path(netconf), args)

    def _path(self, netconf: NetConf) -> tuple[str, ...]:
        vendor_dir = f"/opt/{self._vendor}/cni/bin" if self._vendor else f"/opt/{netconf.type}/bin"
        return vendor_dir, self._bin_dir
