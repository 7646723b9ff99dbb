"""The node's system CNI plugin as tests need it: its configuration, what it is given, a call by the kubelet."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from functional.expectations import ifname
from lab.node import Pod


@dataclass(frozen=True)
class SystemConf:
    """The node's CNI configuration directory."""

    directory: Path

    def write(self, file: str, plugin: str, **config: Any) -> None:
        """Puts a configuration there, complete at once, as an installer should."""
        self.directory.mkdir(exist_ok=True)
        content = {"cniVersion": "0.4.0", "name": "cluster", "type": plugin} | config
        new = self.directory / f"{file}.new"
        new.write_text(json.dumps(content))
        new.rename(self.directory / file)


def expected_args(pod: Pod, network: str, mac: str = "") -> str:
    return (
        f"IgnoreUnknown=1;K8S_POD_NAMESPACE={pod.namespace};K8S_POD_NAME={pod.name};"
        f"K8S_POD_INFRA_CONTAINER_ID={pod.sandbox_id};K8S_POD_NETWORK={network};K8S_POD_IFMAC={mac}"
    )


def run_as_the_kubelet(kactus: Path, pod: Pod, network: str) -> None:
    """What happens at pod start: the system plugin attaches the annotated networks, long before anybody asks for it."""
    env = {"PATH": os.environ["PATH"], "CNI_COMMAND": "ADD", "CNI_CONTAINERID": pod.sandbox_id, "CNI_NETNS": pod.netns}
    env |= {"CNI_IFNAME": ifname(network), "CNI_PATH": str(kactus.parent), "CNI_ARGS": expected_args(pod, network)}
    subprocess.run([str(kactus)], env=env, input="{}", text=True, check=True, capture_output=True, timeout=30)
