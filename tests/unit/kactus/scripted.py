"""A pod on a node made of files: its links are empty files, which scripted plugins make and remove."""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from podagent.decide.dialects.kaloom_names import interface_name
from podagent.foreign import Json
from podagent.kactus import operations
from podagent.kactus.call import Call, read_call
from unit.kactus.loopback import Server, answer, kubeconfig

RESULT: Json = {"cniVersion": "0.4.0", "ips": [{"version": "4", "address": "10.1.0.5/16"}]}
PLUGIN = """#!/bin/sh
node={node} name=$(basename "$0")
echo "$CNI_COMMAND $name $CNI_IFNAME" >> $node/calls
env > $node/env-$name
cat > $node/conf-$name
case $CNI_COMMAND in
ADD) touch $node/links/$CNI_IFNAME; printed='{result}';;
DEL) [ -e $node/fails/DEL-$name ] || rm -f $node/links/$CNI_IFNAME;;
esac
if [ -e $node/fails/$CNI_COMMAND-$name ]; then cat $node/fails/$CNI_COMMAND-$name; exit 1; fi
echo "$printed"
"""
POD_ARGS = "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web"


class PodNode:
    """One pod, and the calls of kactus for it. The plugins are named as the networks; the default one is ``master``.

    Attributes:
        objects: what the API server has, by path.
        container: ID of the sandbox that calls are made for.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.cni_dir = directory / "kactus"
        self.netns = directory / "netns"
        self.netns.touch()
        for name in ("bin", "links", "fails"):
            (directory / name).mkdir()
        self.container = "c1"
        self.objects: dict[str, Json] = {}
        self.server = Server([self._answer])
        self.kubeconfig = ""
        self.install("master")

    def __enter__(self) -> PodNode:
        self.server.__enter__()
        self.kubeconfig = kubeconfig(self.directory, self.server.url)
        return self

    def __exit__(self, *fault: Any) -> None:
        self.server.__exit__(None, None, None)

    # --- what there is

    def install(self, name: str, result: Json = RESULT) -> None:
        plugin = self.directory / "bin" / name
        plugin.write_text(PLUGIN.format(node=self.directory, result=json.dumps(result)))
        plugin.chmod(0o755)

    def define(self, *names: str, **config: Any) -> None:
        """Networks, and the plugins of the same names."""
        for name in names:
            self.install(name)
            text = json.dumps({"cniVersion": "0.4.0", "name": f"{name}-net", **config})
            path = f"/apis/kaloom.com/v1/namespaces/shop/networks/{name}"
            self.objects[path] = {"spec": {"plugin": name, "config": text}}

    def annotate(self, *entries: Json) -> None:
        """The pod's networks; the pod is there from now on."""
        metadata = {"annotations": {"networks": json.dumps(entries)}}
        self.objects["/api/v1/namespaces/shop/pods/web"] = {"metadata": metadata}

    def fail(self, name: str, command: str, code: int = 104, message: str = "no") -> None:
        """From now on a plugin fails, after it has done its work unless that is DEL."""
        (self.directory / "fails" / f"{command}-{name}").write_text(json.dumps({"code": code, "msg": message}))

    def work_again(self, name: str, command: str) -> None:
        (self.directory / "fails" / f"{command}-{name}").unlink()

    def has_link(self, name: str) -> None:
        (self.directory / "links" / name).touch()

    def lose_link(self, name: str) -> None:
        (self.directory / "links" / name).unlink()

    def keep(self, *delegates: Json) -> None:
        """As if an earlier call had kept these."""
        self.cni_dir.mkdir(exist_ok=True)
        (self.cni_dir / self.container).write_text(json.dumps(delegates))

    # --- calls

    def conf(self, **changes: Any) -> Json:
        master = {"type": "master", "cniVersion": "0.4.0", "masterPlugin": True}
        own = {"cniDir": str(self.cni_dir), "kubeconfig": self.kubeconfig, "delegates": [master]}
        return {"cniVersion": "0.4.0", "name": "cluster", "type": "kactus", **own, **changes}

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
        return operations.add(self.call("ADD", network, conf, **environ), self.look)

    def delete(self, network: str = "", conf: Json | None = None, **environ: str) -> None:
        operations.delete(self.call("DEL", network, conf, **environ))

    def check(self, network: str = "", conf: Json | None = None, **environ: str) -> None:
        operations.check(self.call("CHECK", network, conf, **environ), self.look)

    def look(self, netns: str) -> Collection[str]:
        assert netns == str(self.netns)
        return self.links

    # --- what came of it

    @property
    def links(self) -> list[str]:
        return sorted(os.listdir(self.directory / "links"))  # noqa: PTH208

    @property
    def calls(self) -> list[str]:
        """What plugins were asked, as ``COMMAND plugin interface``."""
        path = self.directory / "calls"
        return path.read_text().splitlines() if path.exists() else []

    def forget_calls(self) -> None:
        (self.directory / "calls").unlink(missing_ok=True)

    def given(self, name: str) -> tuple[Json, dict[str, str]]:
        """The configuration and the environment that a plugin was last run with."""
        conf = json.loads((self.directory / f"conf-{name}").read_text())
        pairs = (line.partition("=") for line in (self.directory / f"env-{name}").read_text().splitlines())
        return conf, {key: value for key, _, value in pairs}

    @property
    def kept(self) -> list[Json]:
        path = self.cni_dir / self.container
        kept: list[Json] = json.loads(path.read_text()) if path.exists() else []
        return kept

    @property
    def kept_names(self) -> list[str]:
        """The networks that are kept, "default" for the master."""
        return [str(each.get("networkName", "default")) for each in self.kept]

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        found = self.objects.get(handler.path)
        (answer(404) if found is None else answer(200, json.dumps(found).encode()))(handler)
