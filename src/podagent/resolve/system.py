"""System mode, as in the original: calls the node's system CNI plugin with the attachment in CNI_ARGS.

Only a meta-plugin such as kactus supports that. At pod start it attaches the annotated networks itself, so the agent
waits until the kubelet has finished setting up the pod.
"""

from __future__ import annotations

from collections.abc import Callable

from podagent.errors import PodNotReady
from podagent.model import Attachment, Invocation, Pod, Sandbox
from podagent.netconf import NetConf
from podagent.resolve.args import pod_args


class SystemNetworks:
    """Attaches through the node's system CNI plugin."""

    def __init__(self, bin_dirs: Callable[[], tuple[str, ...]], vendor: str) -> None:
        """
        Args:
            bin_dirs: the node's CNI plugin directories, in lookup order.
            vendor: vendor name, "" for none; selects the directory that is searched first.
        """
        self._bin_dirs = bin_dirs
        self._vendor = vendor

    def call(self, pod: Pod, attachment: Attachment, sandbox: Sandbox, netconf: NetConf) -> Invocation:
        """The system plugin call for this attachment.

        Args:
            netconf: the node's configuration, of a plugin that attaches networks on request.

        Raises:
            PodNotReady: the kubelet is still setting up the pod.
        """
        if pod.phase != "Running" or not sandbox.populated:
            raise PodNotReady(f"pod {pod.key} is still being set up by the kubelet")
        args = (
            *pod_args(pod, sandbox),
            ("K8S_POD_NETWORK", attachment.network),
            ("K8S_POD_IFMAC", attachment.mac or ""),
        )
        if attachment.definition.namespace:
            # Kaloom's kactus ignores this argument: it supports the pod's namespace and `default` only.
            args = (*args, ("K8S_POD_NETWORK_NAMESPACE", attachment.definition.namespace))
        return Invocation(netconf, self._path(netconf), args)

    def _path(self, netconf: NetConf) -> tuple[str, ...]:
        vendor_dir = f"/opt/{self._vendor}/cni/bin" if self._vendor else f"/opt/{netconf.type}/bin"
        return vendor_dir, *self._bin_dirs()
