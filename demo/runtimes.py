"""The container runtimes that the demo can be played on: private ones, with all of their files below one directory."""

from __future__ import annotations

import subprocess
from pathlib import Path

from lab.containerd import Cni, PrivateContainerd
from lab.dockerd import PrivateDockerd
from lab.programs import RUNTIMES


def private(name: str, run_dir: Path, cni: Cni) -> PrivateDockerd | PrivateContainerd:
    """Not started. `cni`: of the node, for a runtime that sets the network of its pods up."""
    if name == "docker":
        # The last part is the name of a containerd namespace.
        return PrivateDockerd(run_dir / "docker-of-podagent-demo")
    return PrivateContainerd(state_dir=run_dir / "containerd", cni=cni)


def version(name: str) -> str:
    """Its program and version, as it names them itself."""
    shown = subprocess.run([RUNTIMES[name], "--version"], check=True, capture_output=True, text=True).stdout
    words = shown.replace(",", " ").split()
    return next(word for word in words if word[0].isdigit())
