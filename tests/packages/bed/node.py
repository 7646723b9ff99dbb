"""What a machine has besides the agent: API server, a kubelet's part in Docker, networks, pods.

It is a program that runs in the machine; `bed.remote` is the other end. Calls come by stdin and answers go to stdout,
pickled: a method of `Node` with its arguments; its result, or why it failed. It ends with its stdin.
"""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
import traceback
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from functional.expectations import ifname, records
from functional.outcomes import plugged, settles
from lab import node as lab
from lab.agent import Agent
from lab.apiserver import ApiServer
from lab.dockerd import PrivateDockerd
from lab.links import Links
from lab.networks import Network, Networks, definition
from lab.plugins import Gate, PluginDir
from packages.bed.disk import CNI_BIN, CNI_PACKAGED

PORT = 16443
STATE = "/var/lib/podagent"
KUBECONFIG = "/opt/kaloom/etc/podagent-kubeconfig.yaml"

Entries = list[Any]
"""Of the annotation: names of networks, or objects that say more."""
Kept = tuple[list[Network], dict[str, tuple[str, Entries | None]]]
"""Networks; and UID and annotation of pods, by name."""


class ServiceDockerd(PrivateDockerd):
    """The machine's own dockerd, which systemd has started."""

    @property
    def socket(self) -> Path:
        return Path("/run/docker.sock")


class Node:
    def __init__(self, name: str) -> None:
        # The port stays the same when the machine boots again, as the kubeconfig on its disk has it.
        self._api = ApiServer(port=PORT)
        self._api.start()
        self._networks = Networks(self._api)
        self._runtime = ServiceDockerd()
        self._node = lab.Node(self._api, self._runtime, name)
        self._runtime.image()
        self._annotations: dict[str, Entries | None] = {}
        self._gate: Gate | None = None
        # That of systemd is not ours to start: only its files are looked at.
        self._agent = cast(Agent, SimpleNamespace(state_dir=Path(STATE), kactus_dir=None))

    def write_kubeconfig(self) -> None:
        """As an operator installs it: complete at once, for the agent may be looking."""
        self._api.write_kubeconfig(Path(f"{KUBECONFIG}.new"), token="a-token").rename(KUBECONFIG)

    def define(self, *names: str) -> None:
        """Networks of the bridge plugin, with addresses by host-local."""
        for name in names:
            self._networks.bridge(name)

    def pod(self, name: str, networks: Entries | None = None, uid: str = "") -> None:
        """A running pod. With `uid`: one of before a reboot, which has left no container of it."""
        pod = lab.Pod(self._node, name, "default", networks=networks)
        if uid:
            pod.object_uid = pod.uid = uid
            pod.attempt = 1
        self._node.pods.append(pod)
        self._annotations[name] = networks
        pod.create_object()
        pod.start()

    def annotate(self, pod: str, networks: Entries | None) -> None:
        self._annotations[pod] = networks
        self._pod(pod).annotate(networks)

    def settles(self, *, timeout: float = 30.0, **wanted: Entries) -> dict[str, Links]:
        """Waits until each pod has exactly these networks, and no other has any, in fact and in the agent's records.

        Returns the interfaces of each.
        """
        known = {network.name: network for network in self._networks.made}
        pods = {self._pod(name): [known[network] for network in networks] for name, networks in wanted.items()}
        settles(pods, known.values(), self._agent, timeout)
        return {pod.name: plugged(pod) for pod in pods}

    def records(self) -> list[Any]:
        """What the agent has on disk about its attachments."""
        return records(self._agent)

    def links(self, pod: str) -> Links:
        """The interfaces of a pod but lo."""
        return plugged(self._pod(pod))

    def sandbox(self, pod: str) -> tuple[str, str]:
        """Its ID, and the path of its network namespace."""
        return self._pod(pod).sandbox_id, self._pod(pod).netns

    def events(self, pod: str) -> list[str]:
        """The reasons of the Events on a pod."""
        return [event["reason"] for event in self._api.events("default", pod)]

    def add_by_hand(self, pod: str, network: str) -> None:
        """Runs the network's plugin on the pod, as an agent would, of which none has a record."""
        found = self._pod(pod)
        config = next(each.config for each in self._networks.made if each.name == network)
        about = f"IgnoreUnknown=1;K8S_POD_NAMESPACE={found.namespace};K8S_POD_NAME={found.name}"
        environment = {
            "CNI_COMMAND": "ADD", "CNI_CONTAINERID": found.sandbox_id, "CNI_NETNS": found.netns,
            "CNI_IFNAME": ifname(network), "CNI_PATH": CNI_BIN, "CNI_ARGS": about,
        }  # fmt: skip
        plugin, given = f"{CNI_BIN}/{config['type']}", json.dumps(config).encode()
        subprocess.run([plugin], env=os.environ | environment, input=given, capture_output=True, check=True)

    def hold_up(self, plugin: str) -> None:
        """ADD of the plugin waits until it is let through."""
        Path(CNI_BIN).unlink()
        self._gate = PluginDir(Path(CNI_BIN), Path(CNI_PACKAGED)).gate(plugin)

    def held_up(self, at_least: int = 1) -> int:
        """Waits for so many of its ADDs to have begun; returns how many have."""
        assert self._gate
        self._gate.wait_reached(at_least, 20)
        return self._gate.arrivals

    def let_through(self) -> None:
        if self._gate:
            self._gate.open()

    def kept(self) -> Kept:
        """What outlives a boot of the machine."""
        return self._networks.made, {pod.name: (pod.uid, self._annotations[pod.name]) for pod in self._node.pods}

    def bring_back(self, kept: Kept, *staying: str) -> None:
        """The machine has booted: the API server has what it had, and the kubelet starts these pods again."""
        networks, pods = kept
        self._runtime.remove_containers()
        for network in networks:
            self._networks.made.append(network)
            self._api.create(definition(network.name, network.namespace, "bridge", network.config))
        for name in staying:
            uid, annotation = pods[name]
            self.pod(name, annotation, uid)

    def delete_pods(self) -> None:
        self._node.remove_all()

    def clear(self) -> None:
        """Pods and networks are removed, without a trace."""
        self.let_through()
        self.delete_pods()
        self._networks.remove_all()
        if self._gate:
            shutil.rmtree(CNI_BIN)
            shutil.rmtree(self._gate.directory.parent)
            Path(CNI_BIN).symlink_to(CNI_PACKAGED)

    def _pod(self, name: str) -> lab.Pod:
        return next(pod for pod in self._node.pods if pod.name == name)


def main() -> None:
    calls, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever prints does not get between the answers
    try:
        node = Node(sys.argv[1])
        while True:
            name, given, options = pickle.load(calls)
            try:
                answer = getattr(node, name)(*given, **options), ""
            except Exception:
                answer = None, traceback.format_exc()
            pickle.dump(answer, answers)
            answers.flush()
    except EOFError:
        pass
    finally:
        os._exit(0)  # connections that the agent keeps open hold nothing up
