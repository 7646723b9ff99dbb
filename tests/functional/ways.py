"""The ways to attach, and the container runtimes, for tests whose promise must hold with each; the node's kactus.

``delegate``: the agent runs the networks' plugins itself. ``kactus``: the project's kactus is the node's system CNI
plugin, and the agent, left to choose, has it do the work.

With ``RUNTIME=docker`` or ``RUNTIME=containerd`` in the environment, everything that can runs on that one. Without it,
what is marked for both runs on both, and the rest on Docker.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from functional.outcomes import kept_attachments
from lab.containerd import PrivateContainerd
from lab.dockerd import PrivateDockerd
from lab.kactus import Kactus, Running, install, kubelet_args
from lab.networks import Network
from lab.node import Pod
from lab.podruntime import PodRuntime

WAYS = ("delegate", "kactus")
BOTH_WAYS = pytest.mark.parametrize("via", WAYS, indirect=True)
"""For a module, or a test, that makes its agents with the fixture `agent`."""
ONLY_KACTUS = pytest.mark.parametrize("via", ["kactus"], indirect=True)

RUNTIMES: Mapping[str, Callable[[], AbstractContextManager[PodRuntime]]] = {
    "docker": PrivateDockerd,
    "containerd": PrivateContainerd,
}
CHOSEN = [os.environ["RUNTIME"]] if os.environ.get("RUNTIME") else list(RUNTIMES)
BOTH_RUNTIMES = pytest.mark.parametrize("on", CHOSEN, indirect=True)
"""As above, for tests that depend on what the runtime does."""
ONLY_DOCKER = pytest.mark.parametrize("on", ["docker"], indirect=True)
"""For tests that are the kubelet of Docker themselves, or look at what only Docker has."""

Json = dict[str, Any]


@dataclass(frozen=True)
class NodeKactus:
    """kactus as the node's system CNI plugin.

    Attributes:
        calls: calls it as a runtime does.
        conf_dir: the node's CNI configuration directory.
    """

    calls: Kactus
    conf_dir: Path

    @staticmethod
    def install(bin_dir: Path, directory: Path, kubeconfig: Path | str, master: Network) -> NodeKactus:
        """Installs it, with its configuration and state below `directory`. `master`: for the pods' eth0."""
        calls = Kactus(install(bin_dir), bin_dir, directory / "kactus", kubeconfig, master.config)
        made = NodeKactus(calls, directory / "net.d")
        made.conf_dir.mkdir(parents=True, exist_ok=True)
        (made.conf_dir / "05-kactus.conf").write_text(json.dumps(calls.conf()))
        return made

    def of_agent(self) -> dict[str, Any]:
        """Arguments of an agent on this node."""
        return {"attach_via": "auto", "cni_conf_dir": self.conf_dir, "kactus_dir": self.calls.cni_dir}

    def attachments(self) -> set[tuple[str, str]]:
        """(container, network) of everything kept, "" for the default interface's network."""
        return kept_attachments(self.calls.cni_dir)

    def set_up(self, pod: Pod) -> Json:
        """The kubelet's call when it has made the pod's sandbox; returns the result. AssertionError if it fails."""
        answer = self.begin("ADD", pod).answer()
        assert answer.ok, answer
        return answer.printed

    def tear_down(self, pod: Pod, sandbox_id: str = "") -> None:
        """The kubelet's call when a sandbox of the pod is to go: by default the present one."""
        answer = self.begin("DEL", pod, sandbox_id).answer()
        assert answer.ok, answer

    def begin(self, command: str, pod: Pod, sandbox_id: str = "") -> Running:
        """Such a call, begun."""
        sandbox = sandbox_id or pod.sandbox_id
        args = kubelet_args(sandbox, pod.namespace, pod.name)
        return self.calls.start(command, sandbox, "" if sandbox_id else pod.netns, args=args)
