"""The whole cluster: bringing it up, and talking to it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from e2e.cluster import layout
from e2e.cluster.apart import cgroup
from e2e.cluster.controlplane import ControlPlane
from e2e.cluster.node import KINDS, Kubelet, configure
from e2e.cluster.pki import make_pki
from lab.containerd import Cni, PrivateContainerd
from lab.dockerd import PrivateDockerd
from lab.waiting import eventually

_NODE_SECONDS = 90.0


class Cluster:
    """One control plane and one node, on a machine apart, with which it ends."""

    def __init__(self, kind: str) -> None:
        """`kind`: one of `KINDS`."""
        self._kind = KINDS[kind]
        self.system_plugin = self._kind.system_plugin
        self.control = ControlPlane()
        self.runtime = self._made_runtime()
        self.kubelet: Kubelet | None = None

    def up(self, say: Callable[[str], None]) -> None:
        """Brings everything up, to a node that is ready and has our roles, definitions and CNI plugin."""
        say(f"control plane and {self._kind.runtime}")
        make_pki()
        with ThreadPoolExecutor() as pool:
            started = [pool.submit(self.control.start), pool.submit(self._start_runtime)]
            for each in started:
                each.result()
        say("roles, definitions and credentials of the agent")
        self._install_ours()
        say(f"kubelet, with {self.system_plugin} as the node's CNI plugin")
        self.kubelet = Kubelet(self.runtime)
        self.kubelet.start()
        eventually(self._node_is_ready, _NODE_SECONDS, "the node to be ready")

    def heal(self) -> None:
        """Starts again what a test has stopped."""
        self.control.start()
        self.runtime.start()
        if self.kubelet and not self.kubelet.running:
            self.kubelet.start()

    @property
    def environment(self) -> dict[str, str]:
        """For commands of the cluster's administrator."""
        return {**os.environ, "KUBECONFIG": str(layout.kubeconfig("admin"))}

    def kubectl(self, *args: str, stdin: str = "") -> str:
        """Its output. AssertionError when it fails."""
        return self.run("kubectl", *args, stdin=stdin)

    def shell(self, command: str) -> str:
        """Runs a line as an administrator types it, in the project's directory."""
        return self.run("bash", "-c", command)

    def run(self, *argv: str, stdin: str = "") -> str:
        ran = self.try_run(*argv, stdin=stdin)
        assert ran.returncode == 0, f"{argv} failed ({ran.returncode}): {ran.stdout}{ran.stderr}"
        return ran.stdout

    def try_run(self, *argv: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            argv, env=self.environment, cwd=layout.PROJECT, input=stdin, capture_output=True, text=True, timeout=120,
            check=False,
        )  # fmt: skip

    def agent_arguments(self) -> dict[str, Any]:
        """Arguments of `lab.agent.Agent` for the agent of this node, which detects containerd and its CNI."""
        arguments = {
            "kubeconfig": layout.AGENT_KUBECONFIG,
            "cni_bin_path": layout.CNI_BIN,
            "cni_conf_dir": layout.CNI_CONF,
            "node": layout.NODE_NAME,
            "attach_via": "auto",
            "kactus_dir": layout.KACTUS if self.system_plugin == "kactus" else None,
            "options": {},
        }
        if self._kind.runtime == "docker":
            return arguments | self.runtime.of_agent()
        return arguments | {"options": {"cni-bin-path": "", "cni-conf-path": ""}}

    def _made_runtime(self) -> PrivateDockerd | PrivateContainerd:
        if self._kind.runtime == "docker":
            return PrivateDockerd(layout.RUNTIME, cgroup_parent=f"/{cgroup()}")
        cni = Cni(layout.CNI_CONF, layout.CNI_BIN)
        return PrivateContainerd(state_dir=layout.RUNTIME, cni=cni, image=layout.IMAGE)

    def _start_runtime(self) -> None:
        self.runtime.start()
        self.runtime.image(layout.IMAGE, layout.PAUSE)

    def _install_ours(self) -> None:
        manifests = "manifests/networks-crd.yaml", "manifests/podagent-serviceaccount-and-rbac.yaml"
        self.kubectl("apply", *(f"--filename={each}" for each in manifests))
        eventually(self._makes_accounts, 120, "the controller manager to make service accounts")
        self.run("scripts/create-kubeconfig.sh", str(layout.AGENT_KUBECONFIG.parent))
        self.kubectl("wait", "--for=condition=Established", "crd/networks.kaloom.com", "--timeout=60s")
        configure(self.system_plugin)

    def _makes_accounts(self) -> bool:
        return self.try_run("kubectl", "get", "serviceaccount", "default", "--namespace=kube-system").returncode == 0

    def _node_is_ready(self) -> bool:
        node = json.loads(self.control.get(f"/api/v1/nodes/{layout.NODE_NAME}") or "{}")
        conditions = node.get("status", {}).get("conditions", [])
        ready = any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
        return ready and not node["spec"].get("taints")
