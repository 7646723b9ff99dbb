"""The whole cluster: bringing it up, taking it down, and talking to it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from typing import Any

from e2e.cluster import host
from e2e.cluster.controlplane import ControlPlane
from e2e.cluster.daemons import Daemon
from e2e.cluster.kubelet import make_kubelet, wait_healthy
from e2e.cluster.layout import IMAGE, KUBERNETES, NODE_BRIDGE, NODE_IP, NODE_NAME, PAUSE, PROJECT, Layout
from e2e.cluster.pki import make_pki
from e2e.cluster.systemplugin import configure, install_plugins
from e2e.cluster.taking_down import end_everything
from lab.dockerd import PrivateDockerd
from lab.mounts import mounts_below, unmount_below
from lab.runtime import Runtime
from lab.waiting import eventually

_NODE_SECONDS = 90.0


class Cluster:
    """One control plane and one node. `up` it once; `down` works without having been up, also in another process.

    Attributes:
        is_mine: whether this object brought it up, or began to.
    """

    def __init__(self, system_plugin: str = "kactus", layout: Layout | None = None) -> None:
        """`system_plugin`: one of `SYSTEM_PLUGINS`."""
        self.layout = layout or Layout()
        self.system_plugin = system_plugin
        self.control = ControlPlane(self.layout, KUBERNETES)
        self.runtime: Runtime | None = None
        self.kubelet: Daemon | None = None
        self.is_mine = False

    def up(self, tell: Callable[[str], None]) -> None:
        """Brings everything up, to a node that is ready and has our roles, definitions and CNI plugin.

        Raises:
            host.Refused: this machine is not one for that.
            AssertionError, RuntimeError: something did not come up; the message names its log.
        """
        host.check(self.layout)
        self.layout.state.mkdir(mode=0o700, exist_ok=True)
        self.is_mine = True
        host.note(self.layout)
        tell("control plane")
        make_pki(self.layout)
        self.control.start()
        tell("roles, definitions and credentials of the agent")
        self._install_ours()
        tell("Docker")
        self.runtime = PrivateDockerd(self.layout.docker, self.layout.mark, f"/{self.layout.cgroup}")
        self.runtime.start()
        self.runtime.image(IMAGE, PAUSE)
        tell(f"kubelet, with {self.system_plugin} as the node's CNI plugin")
        self._make_node_address()
        self.kubelet = make_kubelet(self.layout, KUBERNETES, self.runtime.endpoint, self.runtime.cgroup_driver())
        self.kubelet.start()
        eventually(self._node_is_ready, _NODE_SECONDS, "the node to be ready")
        host.note_settings(self.layout)

    def down(self) -> dict[str, list[str]]:
        """Ends every process of the cluster and puts the machine back; returns what could not be."""
        bridges, networks = self._defined() if self.layout.host_before.exists() else ([], [])
        differs: dict[str, list[str]] = {}
        if left := end_everything(self.layout):
            differs["processes"] = list(map(str, left))
        unmount_below(self.layout.state)
        if self.layout.host_before.exists():
            host.put_back(self.layout, bridges, networks)
            differs |= host.changes(self.layout)
        if mounts := mounts_below(self.layout.state):
            return differs | {"mounts": mounts}  # what is mounted there may be somebody's: nothing is deleted
        shutil.rmtree(self.layout.state, ignore_errors=True)
        return differs | ({"state": [str(self.layout.state)]} if self.layout.is_used else {})

    def heal(self) -> None:
        """Starts again what a test has stopped."""
        assert self.runtime
        self.control.heal()
        self.runtime.start()
        if self.kubelet and not self.kubelet.running:
            self.start_kubelet()

    # --- faults of the node ---------------------------------------------------------------------------------------

    def stop_kubelet(self) -> None:
        assert self.kubelet
        self.kubelet.stop()

    def start_kubelet(self) -> None:
        assert self.kubelet
        self.kubelet.start()
        wait_healthy(self.kubelet)

    # --- talking to it --------------------------------------------------------------------------------------------

    @property
    def environment(self) -> dict[str, str]:
        """For commands of the cluster's administrator."""
        return {**os.environ, "KUBECONFIG": str(self.layout.kubeconfig("admin"))}

    def kubectl(self, *args: str, stdin: str = "", timeout: float = 120.0) -> str:
        """Its output. AssertionError when it fails."""
        return self.run(["kubectl", *args], stdin=stdin, timeout=timeout)

    def shell(self, command: str, timeout: float = 120.0) -> str:
        """Runs a line as an administrator types it, in the project's directory."""
        return self.run(["bash", "-c", command], timeout=timeout)

    def run(self, argv: list[str], stdin: str = "", timeout: float = 120.0) -> str:
        ran = self.try_run(argv, stdin, timeout)
        assert ran.returncode == 0, f"{argv} failed ({ran.returncode}): {ran.stdout}{ran.stderr}"
        return ran.stdout

    def try_run(self, argv: list[str], stdin: str = "", timeout: float = 120.0) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            argv, env=self.environment, cwd=PROJECT, input=stdin, capture_output=True, text=True, timeout=timeout,
            check=False,
        )  # fmt: skip

    def agent_arguments(self) -> dict[str, Any]:
        """Arguments of `lab.agent.Agent` for the agent of this node."""
        assert self.runtime
        return {
            "kubeconfig": self.layout.agent_kubeconfig,
            "docker_endpoint": self.runtime.endpoint,
            "cni_bin_path": self.layout.cni_bin,
            "cni_conf_dir": self.layout.cni_conf,
            "node": NODE_NAME,
            "attach_via": "auto",
            "env": self.layout.mark,
            "kactus_dir": self.layout.kactus if self.system_plugin == "kactus" else None,
        }

    def _install_ours(self) -> None:
        self.kubectl(
            "apply", "-f", "manifests/networks-crd.yaml", "-f", "manifests/podagent-serviceaccount-and-rbac.yaml"
        )
        self.run(["scripts/create-kubeconfig.sh", str(self.layout.agent_kubeconfig.parent)])
        established = "--for=condition=Established", "crd/networks.kaloom.com"
        self.kubectl("wait", *established, "--timeout=60s")
        install_plugins(self.layout)
        configure(self.layout, self.system_plugin)

    def _defined(self) -> tuple[list[str], list[str]]:
        """Bridges, and names of CNI networks, of the network definitions that there are; none if nobody answers."""
        asked = ["kubectl", "--request-timeout=5s", "get", "networks.kaloom.com", "-A", "-o", "json"]
        found = self.try_run(asked, timeout=20).stdout
        configs = [_parsed(each["spec"]["config"]) for each in json.loads(found or '{"items": []}')["items"]]
        bridges = [plugin.get("bridge") for config in configs for plugin in (config, *config.get("plugins", []))]
        return [str(each) for each in bridges if each], [str(each["name"]) for each in configs if "name" in each]

    def _make_node_address(self) -> None:
        for command in (
            f"ip link add {NODE_BRIDGE} type bridge",
            f"ip addr add {NODE_IP}/32 dev {NODE_BRIDGE}",
            f"ip link set {NODE_BRIDGE} up",
        ):
            subprocess.run(command.split(), check=True, capture_output=True, timeout=30)

    def _node_is_ready(self) -> bool:
        assert self.kubelet
        self.kubelet.assert_running()
        condition = '{.status.conditions[?(@.type=="Ready")].status} {.spec.taints}'
        shown = self.try_run(["kubectl", "get", "node", NODE_NAME, "-o", f"jsonpath={condition}"]).stdout
        return shown.strip() == "True"


def _parsed(config: str) -> dict[str, Any]:
    try:
        parsed = json.loads(config)
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}
