"""The bare plugin, run as cheaply as a process can be: the yardstick that stands beside every figure of the agent."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class BarePlugin:
    """Calls one CNI plugin directly for one network."""

    bin_dir: Path
    config: dict[str, Any]

    def add(self, container_id: str, netns: str, ifname: str) -> None:
        self._call("ADD", container_id, netns, ifname)

    def delete(self, container_id: str, netns: str, ifname: str) -> None:
        self._call("DEL", container_id, netns, ifname)

    def _call(self, command: str, container_id: str, netns: str, ifname: str) -> None:
        env = {
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": container_id,
            "CNI_NETNS": netns,
            "CNI_IFNAME": ifname,
            "CNI_PATH": str(self.bin_dir),
            "CNI_ARGS": "IgnoreUnknown=1",
            "PATH": os.environ["PATH"],
        }
        stdin = json.dumps(self.config).encode()
        plugin = str(self.bin_dir / self.config["type"])
        subprocess.run([plugin], input=stdin, env=env, check=True, capture_output=True, timeout=60)
