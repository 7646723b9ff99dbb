"""What a node has that ran Kaloom's podagent: its package, as its hosts have it, and the state it leaves."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from packages.bed.host import Host
from packages.bed.managers import rpm_of
from packages.bed.node import KUBECONFIG, Node
from packages.bed.packages import CONF

UNIT = "/etc/systemd/system/podagent.service"
_STORE = "/var/run/podagent/configstore"
_FILES = {
    "/opt/kaloom/bin/podagent": (0o755, "#!/bin/sh\nwhile :; do sleep 60; done\n"),
    "/opt/kaloom/bin/podagent-entrypoint.sh": (
        0o755,
        f"#!/bin/bash\nset -a\nsource {CONF}\nexec /opt/kaloom/bin/podagent -kubeconfig $PODAGENT_KUBECONFIG\n",
    ),
    UNIT: (
        0o644,
        "[Unit]\nDescription=podagent\nAfter=network.target\n\n"
        "[Service]\nType=simple\nRestart=always\nExecStart=/opt/kaloom/bin/podagent-entrypoint.sh\n\n"
        "[Install]\nWantedBy=multi-user.target\n",
    ),
}
_POST = f"""\
%post
mkdir -p /opt/kaloom/etc
cat >{CONF} <<CONF
PODAGENT_EXTRA_ARGS='-cni-vendor-name kaloom -logtostderr'
PODAGENT_KUBECONFIG="{KUBECONFIG}"
PODAGENT_HOSTNAME="$(hostname)"
export _CNI_LOGGING_LEVEL=3
export _CNI_LOGGING_FILE=/var/log/cni.log
CONF
"""


def install_package(host: Host) -> None:
    """A package as Kaloom's: its unit where those of administrators are, its settings written as it is installed."""
    with tempfile.TemporaryDirectory(prefix="podagent-rpm-") as directory:
        host.install_file(rpm_of(Path(directory), "podagent", "0.2.1", "", _POST, _FILES))


def leave_state(host: Host, node: Node, pod: str, network: str) -> None:
    """The network is attached to the pod, as Kaloom's podagent keeps it; that agent is gone."""
    node.add_by_hand(pod, network)
    sandbox, netns = node.sandbox(pod)
    data: dict[str, Any] = {
        "Namespace": "default", "PodName": pod, "SandboxID": sandbox, "NetnsPath": netns,
        "NetworkName": network, "IfMAC": "",
    }  # fmt: skip
    kept = {"Expected": {"Optype": "Add", "Data": data}, "Running": {"State": "Active", "Data": data}}
    host.machine.write(f"{_STORE}/{pod}-{network}.json", json.dumps(kept))


def state_files(host: Host) -> list[str]:
    return host.machine.run(f"ls {_STORE} 2>/dev/null", check=False).split()
