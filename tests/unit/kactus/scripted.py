"""A pod on a node that is kept in memory: its links, the plugins that make them, and the API server."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import pytest

from podagent.cni.reply import Ended
from podagent.decide.dialects.kaloom_names import interface_name
from podagent.errors import CniError
from podagent.foreign import Json
from podagent.kactus.call import Call, read_call
from podagent.kactus.operations import OPERATIONS, add, check, delete
from podagent.kubeconfig.reader import Credentials
from unit.cni.plugins import Plugins
from unit.kube.loopback import kubeconfig

POD_ARGS = "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web"
RED, GREEN = interface_name("red"), interface_name("green")


class PodNode(Plugins):
    """One pod, and the calls of kactus for it. A plugin is named as its network; the default one is ``master``.

    Attributes:
        container: ID of the sandbox that calls are made for.
        objects: what the API server has, by path; `asked` are the paths it was asked for.
        kept_then: the delegates that were kept when a plugin was last run.
    """

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self.directory = directory
        self.cni_dir = directory / "kactus"
        self.netns = directory / "netns"
        self.netns.touch()
        (directory / "bin").mkdir()
        self.kubeconfig = kubeconfig(directory, "http://127.0.0.1:1")
        self.container = "c1"
        self.objects: dict[str, Json] = {}
        self.asked: list[str] = []
        self.kept_then: list[Json] = []
        self.define("master", "red", "green")

    def run(
        self, executable: str, env: Mapping[str, str], stdin: bytes, timeout: float, name: str,
        on_slow: Callable[[], None],
    ) -> Ended:  # fmt: skip
        self.kept_then = self.kept
        return super().run(executable, env, stdin, timeout, name, on_slow)

    def get_object(self, credentials: Credentials, path: str) -> Json | None:
        """In the place of `podagent.kactus.requests.get_json`."""
        self.asked.append(path)
        return self.objects.get(path)

    # --- what there is

    def define(self, *names: str) -> None:
        """Networks, and the plugins of the same names."""
        for name in names:
            (self.directory / "bin" / name).touch()
            text = json.dumps({"cniVersion": "0.4.0", "name": f"{name}-net"})
            path = f"/apis/kaloom.com/v1/namespaces/shop/networks/{name}"
            self.objects[path] = {"spec": {"plugin": name, "config": text}}

    def annotate(self, *entries: Json) -> None:
        """The pod's networks; the pod is there from now on."""
        metadata = {"annotations": {"networks": json.dumps(entries)}}
        self.objects["/api/v1/namespaces/shop/pods/web"] = {"metadata": metadata}

    def start(self, *networks: str) -> None:
        """The pod with its networks; what was asked and run for that is forgotten."""
        self.annotate(*({"name": network} for network in networks))
        self.add()
        self.calls.clear()
        self.asked.clear()

    def keep(self, *delegates: Json) -> None:
        """As if an earlier call had kept these."""
        self.cni_dir.mkdir(exist_ok=True)
        (self.cni_dir / self.container).write_text(json.dumps(delegates))

    @property
    def kept(self) -> list[Json]:
        path = self.cni_dir / self.container
        kept: list[Json] = json.loads(path.read_text()) if path.exists() else []
        return kept

    @property
    def kept_names(self) -> list[str]:
        """The networks that are kept, "default" for the master."""
        return [str(each.get("networkName", "default")) for each in self.kept]

    # --- calls

    def conf(self, version: str = "0.4.0", /, **changes: Any) -> Json:
        master = {"type": "master", "cniVersion": version, "masterPlugin": True}
        own = {
            "cniDir": str(self.cni_dir),
            "kubeconfig": self.kubeconfig,
            "delegates": [master],
            "definitionPolicy": "trust-all",
        }
        return {"cniVersion": version, "name": "cluster", "type": "kactus", **own, **changes}

    def environ(self, command: str, network: str = "", args: str = POD_ARGS, **changes: str) -> dict[str, str]:
        """Of a call; with a `network` it is for that one."""
        return {
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": self.container,
            "CNI_NETNS": str(self.netns),
            "CNI_IFNAME": interface_name(network) if network else "eth0",
            "CNI_PATH": str(self.directory / "bin"),
            "CNI_ARGS": f"{args};K8S_POD_NETWORK={network}" if network else args,
            **changes,
        }

    def call(self, command: str, network: str = "", conf: Json | None = None, **environ: str) -> Call:
        stdin = json.dumps(self.conf() if conf is None else conf)
        return read_call(self.environ(command, network, **environ), stdin.encode())

    def add(self, network: str = "", conf: Json | None = None, **environ: str) -> Json:
        return add(self.call("ADD", network, conf, **environ), self._look)

    def perform(self, command: str, network: str = "", conf: Json | None = None, **environ: str) -> None:
        """Any command, whatever its result is."""
        call = self.call(command, network, conf, **environ)
        looking = {"ADD": add, "CHECK": check, "DEL": delete}
        if command in looking:
            looking[command](call, self._look)
        else:
            assert OPERATIONS[command](call) is None

    def refused(self, code: int, command: str, network: str = "", conf: Json | None = None, **environ: str) -> str:
        """What is said of a call that fails with this code."""
        with pytest.raises(CniError) as caught:
            self.perform(command, network, conf, **environ)
        assert caught.value.code == code
        return str(caught.value)

    def _look(self, netns: str) -> Collection[str]:
        assert netns == str(self.netns)
        return self.links
