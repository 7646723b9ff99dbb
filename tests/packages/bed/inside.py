"""What a node has besides the agent, as a program that runs in the machine: API server, and a kubelet's part in Docker.

Commands come by stdin, answers go to stdout, a line of JSON each: {"do": NAME, "with": {...}} and {"value": ...} or
{"error": TEXT}. It ends with its stdin. `bed.node` is the other end.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any, TextIO

from lab.apiserver import ApiServer
from lab.dockerd import PrivateDockerd
from lab.leases import leases
from lab.networks import Network, Networks, definition
from lab.node import Node, Pod
from packages.bed.disk import CNI_BIN
from packages.bed.names import ifname

Json = dict[str, Any]


class ServiceDockerd(PrivateDockerd):
    """The machine's own dockerd, which systemd has started."""

    @property
    def socket(self) -> Path:
        return Path("/run/docker.sock")


class FixedApiServer(ApiServer):
    """On a port that stays the same when the machine boots again, as the kubeconfig on its disk has it."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self._port = port


class Inside:
    """Each public method is a command."""

    def __init__(self, node: str, port: int) -> None:
        self._api = FixedApiServer(port)
        self._api.start()
        self._networks = Networks(self._api)
        self._node = Node(self._api, ServiceDockerd(), node)
        self._node.runtime.image()

    def write_kubeconfig(self, path: str) -> None:
        """As an operator installs it: complete at once, for the agent may be looking."""
        new = self._api.write_kubeconfig(f"{path}.new", token="a-token")
        new.rename(path)

    def define(self, name: str) -> Json:
        """A network of the bridge plugin, with addresses by host-local."""
        return dataclasses.asdict(self._networks.bridge(name))

    def define_again(self, network: Json) -> None:
        """A network made by `define` of another process, as it was."""
        known = Network(**network)
        self._networks.made.append(known)
        self._api.create(definition(known.name, known.namespace, "bridge", known.config))

    def make_pod(self, name: str, networks: list[Any] | None, uid: str = "") -> Json:
        """A running pod. With `uid`: one that was there before, of which the machine's reboot has left no container."""
        pod = Pod(self._node, name, "default", networks=networks)
        if uid:
            pod.object_uid = pod.uid = uid
            pod.attempt = 1
        self._node.pods.append(pod)
        pod.create_object()
        pod.start()
        return self.about(name)

    def about(self, pod: str) -> Json:
        """What is fixed about a pod, and what its interfaces are."""
        found = self._pod(pod)
        links = {name: dataclasses.asdict(link) for name, link in found.links().items()}
        return {"uid": found.uid, "sandbox": found.sandbox_id, "netns": found.netns, "links": links}

    def annotate(self, pod: str, networks: list[Any] | None) -> None:
        self._pod(pod).annotate(networks)

    def add_by_hand(self, pod: str, network: str) -> None:
        """Runs the network's plugin on the pod, as an agent would."""
        found = self._pod(pod)
        config = next(each.config for each in self._networks.made if each.name == network)
        about = f"IgnoreUnknown=1;K8S_POD_NAMESPACE={found.namespace};K8S_POD_NAME={found.name}"
        environment = {
            "CNI_COMMAND": "ADD", "CNI_CONTAINERID": found.sandbox_id, "CNI_NETNS": found.netns,
            "CNI_IFNAME": ifname(network), "CNI_PATH": CNI_BIN, "CNI_ARGS": about,
        }  # fmt: skip
        plugin = [f"{CNI_BIN}/{config['type']}"]
        subprocess.run(
            plugin, env=os.environ | environment, input=json.dumps(config).encode(), capture_output=True, check=True
        )

    def delete_pods(self) -> None:
        self._node.remove_all()

    def remove_stale_containers(self) -> None:
        """Those of the boot before, as the kubelet collects them."""
        self._node.runtime.remove_containers()

    def remove_networks(self) -> None:
        self._networks.remove_all()

    def leases(self, network: str) -> list[Json]:
        return [dataclasses.asdict(lease) for each in self._networks.made if each.name == network
                for lease in leases(each.cni_name)]  # fmt: skip

    def events(self, pod: str) -> list[str]:
        """Reason and text of the Events on a pod."""
        return [f"{event['reason']}: {event['message']}" for event in self._api.events("default", pod)]

    def _pod(self, name: str) -> Pod:
        return next(pod for pod in self._node.pods if pod.name == name)


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever prints does not get between the answers
    inside = Inside(sys.argv[1], int(sys.argv[2]))
    try:
        serve(inside, answers)
    finally:
        os._exit(0)  # connections that the agent keeps open hold nothing up


def serve(inside: Inside, answers: TextIO) -> None:
    for line in sys.stdin:
        command = json.loads(line)
        try:
            answer = {"value": getattr(inside, command["do"])(**command["with"])}
        except Exception:
            answer = {"error": traceback.format_exc()}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
