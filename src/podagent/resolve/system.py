"""The original's way: the node's system CNI plugin is called with the attachment named in CNI_ARGS.

Only a meta-plugin such as kactus understands that. At pod start it attaches the annotated networks itself, so the agent
keeps off until the kubelet has finished setting the pod up.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from podagent.errors import PodNotReady
from podagent.model import Attachment, Invocation, Json, Pod, Sandbox, Via
from podagent.resolve.args import pod_args


class SystemNetworks:
    """Attaches through the node's system CNI plugin."""

    def __init__(self, current_conf: Callable[[], tuple[Path, Json]], bin_dir: str, vendor: str) -> None:
        """
        Args:
            current_conf: gives the first valid CNI configuration of the node; raises NetConfError without one.
            bin_dir: the node's CNI plugin directory.
            vendor: vendor name, "" for none; decides where the plugin is looked up first.
        """
        self._current_conf = current_conf
        self._bin_dir = bin_dir
        self._vendor = vendor

    def plugin_type(self) -> str:
        """The type of the node's system CNI plugin. Raises NetConfError when the node has none."""
        _, netconf = self._current_conf()
        return str(netconf["plugins"][0]["type"])

    def prepare(self, pod: Pod, attachment: Attachment, sandbox: Sandbox) -> tuple[Via, Invocation]:
        """How the system plugin is called for this attachment.

        Raises:
            PodNotReady: the kubelet has not finished with the pod.
            NetConfError: the node has no valid CNI configuration.
        """
        if pod.phase != "Running" or not sandbox.populated:
            raise PodNotReady(f"pod {pod.key} is still being set up by the kubelet")
        _, netconf = self._current_conf()
        args = (
            *pod_args(pod, sandbox),
            ("K8S_POD_NETWORK", attachment.network),
            ("K8S_POD_IFMAC", attachment.mac or ""),
        )
        if attachment.namespace:
            # An argument of ours, which Kaloom's kactus ignores: it knows the pod's namespace and `default` only.
            args = (*args, ("K8S_POD_NETWORK_NAMESPACE", attachment.namespace))
        return Via.SYSTEM, Invocation(netconf, self._path(netconf), args)

    def current_netconf(self) -> Json:
        """The node's configuration as it is today. Raises NetConfError."""
        return self._current_conf()[1]

    def _path(self, netconf: Json) -> tuple[str, ...]:
        plugin_type = netconf["plugins"][0]["type"]
        vendor_dir = f"/opt/{self._vendor}/cni/bin" if self._vendor else f"/opt/{plugin_type}/bin"
        return vendor_dir, self._bin_dir
