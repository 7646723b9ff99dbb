"""The node that the example is played on: API server, kubelet, kubectl (stand-ins); runtime, plugins, agent (real)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from demo import host
from demo.kubelet import Kubelet
from lab import kactus
from lab.agent import Agent
from lab.apiserver import ApiServer
from lab.containerd import PrivateContainerd
from lab.dockerd import PrivateDockerd
from lab.networks import plugin_dir
from lab.node import Node
from lab.programs import RUNTIMES

ROOT = Path(__file__).resolve().parents[1]
NODE = "demo-node"
_COMMAND_SECONDS = 60.0

# The pods' eth0. The range is set aside for measurements, so that it is nobody's; there is no way out of it.
_DEFAULT_NETWORK = {
    "cniVersion": "0.4.0",
    "name": "podagent-demo",
    "type": "bridge",
    "bridge": host.DEFAULT_BRIDGE,
    "ipam": {
        "type": "host-local",
        "dataDir": str(host.RUN_DIR / "leases"),
        "ranges": [[{"subnet": "198.19.255.0/24"}]],
    },
}
_KUBECONFIG = host.RUN_DIR / "kubeconfig"
_KACTUS = {
    "cniVersion": "0.4.0",
    "name": "kactus-demo",
    "type": "kactus",
    "kubeconfig": str(_KUBECONFIG),
    "cniDir": str(host.RUN_DIR / "kactus"),
    "delegates": [{**_DEFAULT_NETWORK, "masterPlugin": True}],
}
SYSTEM_CONFS = {"delegate": ("10-bridge.conf", _DEFAULT_NETWORK), "system": ("05-kactus.conf", _KACTUS)}
"""The node's system CNI configuration, file name and content, by attach-via mode."""


@dataclass
class Stage:
    """Everything that runs, and the environment in which the commands of the example are run."""

    api: ApiServer
    runtime: PrivateDockerd | PrivateContainerd
    kubelet: Kubelet
    agent: Agent
    environment: dict[str, str]

    def run(self, command: str) -> tuple[int, str]:
        """Runs a line of the example with bash, in the project's directory; returns exit code and output."""
        ran = subprocess.run(
            ["bash", "-c", command], cwd=ROOT, env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, timeout=_COMMAND_SECONDS, check=False,
        )  # fmt: skip
        return ran.returncode, ran.stdout.decode(errors="replace").replace("\r\n", "\n")


def build(mode: str, runtime_name: str, progress: Callable[[str], None]) -> Stage:
    """Starts everything; the supervisor takes it down. `progress` is told what comes next."""
    progress("API server (stand-in)")
    api = ApiServer()
    api.start()
    kubeconfig = api.write_kubeconfig(_KUBECONFIG)
    plugins = _plugins()
    file, system_conf = SYSTEM_CONFS[mode]
    conf = host.CONF_DIR / file
    conf.parent.mkdir(parents=True)
    conf.write_text(json.dumps(system_conf, indent=2))
    progress(RUNTIMES[runtime_name])
    runtime = host.private_runtime(runtime_name)
    runtime.start()
    runtime.image()
    progress("podagent")
    agent = Agent(
        host.AGENT_DIR,
        kubeconfig=kubeconfig,
        cni_bin_path=plugins,
        node=NODE,
        attach_via=mode,
        options={"log-level": "info"},
        **runtime.of_agent(),
    ).start()
    kubelet = Kubelet(Node(api, runtime, NODE), conf, plugins)
    kubelet.start()
    return Stage(api, runtime, kubelet, agent, _environment(kubeconfig, runtime_name))


def _plugins() -> Path:
    """The node's plugin directory: the plugins of this machine, and our kactus."""
    host.PLUGIN_DIR.mkdir()
    for plugin in plugin_dir().iterdir():
        (host.PLUGIN_DIR / plugin.name).symlink_to(plugin)
    (host.PLUGIN_DIR / "kactus").unlink(missing_ok=True)
    kactus.install(host.PLUGIN_DIR)
    return host.PLUGIN_DIR


def _environment(kubeconfig: Path, runtime_name: str) -> dict[str, str]:
    programs = host.RUN_DIR / "bin"
    programs.mkdir()
    kubectl = programs / "kubectl"
    kubectl.write_text(f'#!/bin/sh\nexec "{sys.executable}" -E "{ROOT}/demo/kubectl.py" "$@"\n')
    kubectl.chmod(0o755)
    own = {"KUBECONFIG": str(kubeconfig), "DEMO_RUNTIME": runtime_name, "DEMO_NODE": NODE}
    return {**os.environ, **own, "PATH": f"{programs}:{os.environ['PATH']}"}
