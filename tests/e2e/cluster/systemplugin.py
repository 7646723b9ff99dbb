"""The node's CNI configuration: our kactus, from the configuration that the project ships, or a plain bridge."""

from __future__ import annotations

import json
from typing import Any

from e2e.cluster.layout import POD_BRIDGE, POD_NETWORK, POD_SUBNET, PROJECT, Layout
from lab.kactus import install
from lab.networks import plugin_dir

SYSTEM_PLUGINS = ("kactus", "bridge")

Json = dict[str, Any]


def install_plugins(layout: Layout) -> None:
    """The node's plugin directory: the plugins of this machine, and our kactus."""
    layout.cni_bin.mkdir()
    for plugin in plugin_dir().iterdir():
        if plugin.name != "kactus":
            (layout.cni_bin / plugin.name).symlink_to(plugin)
    install(layout.cni_bin)


def configure(layout: Layout, system_plugin: str) -> None:
    """Writes the first, and only, configuration of the node."""
    layout.cni_conf.mkdir()
    name, conf = ("05-kactus.conf", _kactus(layout)) if system_plugin == "kactus" else ("10-bridge.conflist", _bridge())
    (layout.cni_conf / name).write_text(json.dumps(conf, indent=2))


def _kactus(layout: Layout) -> Json:
    shipped = PROJECT / "etc" / "cni" / "net.d" / "05-kactus.conf"
    conf: Json = json.loads(shipped.read_text())
    [master] = conf["delegates"]
    master = master | _pod_bridge() | {"masterPlugin": True}
    ours = {"name": POD_NETWORK, "kubeconfig": str(layout.agent_kubeconfig), "cniDir": str(layout.kactus)}
    return conf | ours | {"delegates": [master]}


def _bridge() -> Json:
    return {"cniVersion": "0.4.0", "name": POD_NETWORK, "plugins": [_pod_bridge()]}


def _pod_bridge() -> Json:
    # No gateway and no masquerading: those would change the host's forwarding and packet filter.
    ipam = {"type": "host-local", "ranges": [[{"subnet": POD_SUBNET}]]}
    return {"type": "bridge", "bridge": POD_BRIDGE, "isGateway": False, "ipMasq": False, "ipam": ipam}
