"""`Node`: the pods and networks of a machine, as tests see and change them."""

from __future__ import annotations

import contextlib
import json
import subprocess
from typing import Any

from lab.leases import Lease
from lab.links import Link, Links
from lab.waiting import eventually
from packages.bed.machine import LAB_PATH, Machine
from packages.bed.names import ifname

Json = dict[str, Any]

KUBECONFIG = "/opt/kaloom/etc/podagent-kubeconfig.yaml"
_PORT = 16443

Entries = list[Any]
"""Of the annotation: names of networks, or objects that say more."""


class Node:
    """API server and kubelet of a machine, which must be on; they end with it, and can then be started again."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.networks: dict[str, Json] = {}
        self._pods: dict[str, tuple[str, Entries | None]] = {}
        self._process: subprocess.Popen[str] | None = None
        self.start()

    def start(self) -> None:
        words = ["python3", "-m", "packages.bed.inside", self.machine.name, str(_PORT)]
        environment = {"PYTHONPATH": LAB_PATH, "PYTHONDONTWRITEBYTECODE": "1"}
        self._process = self.machine.start(words, environment)

    def start_after_boot(self) -> None:
        """The machine has booted: the API server knows what it knew, and the kubelet starts the pods again."""
        self._end()
        self.start()
        self._do("remove_stale_containers")
        for network in self.networks.values():
            self._do("define_again", network=network)
        for name, (uid, networks) in self._pods.items():
            self._do("make_pod", name=name, networks=networks, uid=uid)

    def close(self) -> None:
        """Pods and networks are removed, and what it runs ends."""
        with contextlib.suppress(BrokenPipeError):
            self.delete_pods()
            self._do("remove_networks")
        self._end()

    # --- what is asked for --------------------------------------------------------------------------------------

    def write_kubeconfig(self) -> None:
        self._do("write_kubeconfig", path=KUBECONFIG)

    def define(self, name: str) -> None:
        self.networks[name] = self._do("define", name=name)

    def pod(self, name: str, networks: Entries | None = None) -> None:
        uid = self._do("make_pod", name=name, networks=networks)["uid"]
        self._pods[name] = uid, networks

    def annotate(self, pod: str, networks: Entries | None) -> None:
        self._do("annotate", pod=pod, networks=networks)
        self._pods[pod] = self._pods[pod][0], networks

    def forget(self, pod: str) -> None:
        """The pod is deleted while the machine is off, or nobody looks: it is not started again."""
        del self._pods[pod]

    def delete_pods(self) -> None:
        self._do("delete_pods")
        self._pods.clear()

    def add_by_hand(self, pod: str, network: str) -> None:
        """Runs the network's plugin on the pod, as an agent would; no agent knows of it."""
        self._do("add_by_hand", pod=pod, network=network)

    # --- what there is ------------------------------------------------------------------------------------------

    def about(self, pod: str) -> Json:
        """uid, sandbox, netns (its path) and links of a pod."""
        found: Json = self._do("about", pod=pod)
        return found

    def links(self, pod: str) -> Links:
        """The interfaces of a pod but lo."""
        shown = self.about(pod)["links"]
        return {
            name: Link(**link | {"addresses": tuple(link["addresses"])}) for name, link in shown.items() if name != "lo"
        }

    def leases(self, network: str) -> list[Lease]:
        return [Lease(**lease) for lease in self._do("leases", network=network)]

    def events(self, pod: str) -> list[str]:
        found: list[str] = self._do("events", pod=pod)
        return found

    def wait_for(self, pod: str, *networks: str, timeout: float = 30.0) -> Links:
        """Waits until the pod has exactly these networks, up and with the one address that is leased to its sandbox."""

        def exactly() -> Links:
            about, links = self.about(pod), self.links(pod)
            assert set(links) == set(map(ifname, networks)), f"{links}"
            for network in networks:
                link = links[ifname(network)]
                mine = [lease.ip for lease in self.leases(network) if lease.container_id == about["sandbox"]]
                assert link.up, f"{link}"
                assert [address.split("/")[0] for address in link.addresses] == mine, f"{link}, leases {mine}"
            return links or {"": Link(0, "", ())}

        found = eventually(exactly, timeout, f"{pod} to have {networks or 'no networks'}")
        return {name: link for name, link in found.items() if name}

    def wait_for_leases(self, count: int, *networks: str, timeout: float = 30.0) -> None:
        """Waits until so many addresses of each network are in use."""

        def that_many() -> bool:
            found = {network: self.leases(network) for network in networks}
            assert all(len(each) == count for each in found.values()), f"{found}"
            return True

        eventually(that_many, timeout, f"{count} leases of each of {networks}")

    # --- within -------------------------------------------------------------------------------------------------

    def _do(self, command: str, /, **given: Any) -> Any:
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise RuntimeError("the node's API server is not running")
        process.stdin.write(json.dumps({"do": command, "with": given}) + "\n")
        process.stdin.flush()
        answer = json.loads(process.stdout.readline() or '{"error": "the node\'s API server has ended"}')
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["value"]

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        for stream in (process.stdin, process.stdout):
            with contextlib.suppress(BrokenPipeError):
                if stream:
                    stream.close()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
