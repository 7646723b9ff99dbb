"""The node's CNI configuration: our kactus, from the configuration that the project ships, or a plain bridge."""

from __future__ import annotations

import json
from typing import Any

from e2e.cluster.layout import (
    AGENT_KUBECONFIG,
    CNI_BIN,
    CNI_CONF,
    KACTUS,
    POD_BRIDGE,
    POD_NETWORK,
    POD_SUBNET,
    PROJECT,
)
from lab.kactus import install
from lab.networks import plugin_dir

SYSTEM_PLUGINS = ("kactus", "bridge")

# No gateway and no masquerading: those would change forwarding and the packet filter.
_POD_BRIDGE: dict[str, Any] = {
    "type": "bridge", "bridge": POD_BRIDGE, "isGateway": False, "ipMasq": False,
    "ipam": {"type": "host-local", "ranges": [[{"subnet": POD_SUBNET}]]},
}  # fmt: skip


def configure(system_plugin: str) -> None:
    """Makes the node's plugin directory, with our kactus in it, and its first, and only, configuration."""
    CNI_BIN.mkdir()
    for plugin in plugin_dir().iterdir():
        if plugin.name != "kactus":
            (CNI_BIN / plugin.name).symlink_to(plugin)
    install(CNI_BIN)
    CNI_CONF.mkdir()
    if system_plugin == "kactus":
        conf = json.loads((PROJECT / "etc/cni/net.d/05-kactus.conf").read_text())
        conf |= {"name": POD_NETWORK, "kubeconfig": str(AGENT_KUBECONFIG), "cniDir": str(KACTUS)}
        [master] = conf["delegates"]
        conf["delegates"] = [master | _POD_BRIDGE | {"masterPlugin": True}]
        (CNI_CONF / "05-kactus.conf").write_text(json.dumps(conf))
    else:
        conf = {"cniVersion": "0.4.0", "name": POD_NETWORK, "plugins": [_POD_BRIDGE]}
        (CNI_CONF / "10-bridge.conflist").write_text(json.dumps(conf))
