"""A small model of a node for the core's tests: sandboxes, links, leases, a store that survives, and crashes on demand.

It keeps invariants instead of a call log: what plugins do wrong in it is what the real ones do (bridge and host-local):
a second ADD of an interface fails and burns nothing, DEL is idempotent, a failed ADD may leave link or lease behind.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from podagent.act.outcomes import Outcome, PodState, Result
from podagent.act.ports import Hints, Stop
from podagent.decide.dialects.kaloom_names import interface_name
from podagent.errors import (
    DefinitionError,
    NetnsGone,
    NetnsUnavailable,
    PluginError,
    PodNotGone,
    RuntimeUnavailable,
    SandboxNotFound,
    StoreError,
)
from podagent.foreign import Json
from podagent.model import (
    Attachment,
    Invocation,
    Link,
    NetnsRef,
    Pod,
    PodKey,
    Record,
    Sandbox,
    Target,
    Unreleased,
    Via,
)
from podagent.netconf import NetConf
from podagent.resolve.corrected import instead_of
from unit.factory import netconf

_FIRST_END = 10_000


class Crash(BaseException):
    """The agent's process ended, here and now."""


class Invariant(AssertionError):
    """Something happened that must never happen, whatever the end state."""


@dataclass
class Faults:
    """What goes wrong from now on."""

    crash_in: int | None = None
    add_fails: dict[str, str] = field(default_factory=dict)
    delete_fails: set[str] = field(default_factory=set)
    only_ipam_deletes: set[str] = field(default_factory=set)
    undefined: set[str] = field(default_factory=set)
    runtime_down: bool = False
    disk_full: bool = False

    def step(self) -> None:
        """One step of the agent was about to be made."""
        if self.crash_in is not None:
            self.crash_in -= 1
            if self.crash_in < 0:
                self.crash_in = None
                raise Crash


class Node:
    """Links and leases by sandbox; what is on disk; the desired pods."""

    def __init__(self) -> None:
        self.faults = Faults()
        self.of_system: Collection[str] = ()
        self.pods: dict[PodKey, Pod] = {}
        self.unlisted: dict[PodKey, Pod] = {}
        self.running: dict[PodKey, Sandbox] = {}
        self.links: dict[int, dict[str, int]] = {}
        self.moved: dict[int, int] = {}
        self.born: dict[int, str] = {}
        self.ends = _HostEnds(self)
        self.pins: set[int] = set()
        self.macs: dict[int, str] = {}
        self.host_macs = {"02:00:00:00:0a:01"}
        self.made_by_kubelet: set[tuple[str, str]] = set()
        self.leases: set[tuple[str, str, str]] = set()
        self.disk: dict[tuple[PodKey, str], Record] = {}
        self.durable = dict(self.disk)
        self.foreign: set[int] = set()
        self.boot_id = "boot-1"
        self.operations: list[tuple[str, str, str]] = []
        self._next_inode = 100
        self._next_ifindex = 1

    # --- what happens on the node

    def start_sandbox(self, pod: PodKey) -> Sandbox:
        """A new sandbox for the pod; the network namespace of the one before is gone with it."""
        self.stop_sandbox(pod)
        self._next_inode += 1
        inode = self._next_inode
        self.links[inode] = {"lo": 1}
        sandbox = Sandbox(f"sandbox-{inode}", NetnsRef(f"/proc/{inode}/ns/net", inode, inode))
        self.running[pod] = sandbox
        return sandbox

    def stop_sandbox(self, pod: PodKey) -> None:
        """The sandbox ends, and its network namespace with every link in it."""
        if pod in self.running:
            self._let_go(inode_of(self.running.pop(pod)))

    def _let_go(self, inode: int) -> None:
        """A namespace without sandbox and pin dies."""
        if inode not in self.pins and inode not in map(inode_of, self.running.values()):
            self.links.pop(inode, None)

    def reboot(self) -> None:
        """All sandboxes are gone; leases and records are on disk."""
        self.pins.clear()
        for pod in list(self.running):
            self.stop_sandbox(pod)
        self.links.clear()
        self.moved.clear()
        self.boot_id = f"boot-{int(self.boot_id.partition('-')[2]) + 1}"

    def kubelet_attaches(self, pod: PodKey, network: str) -> None:
        """The system CNI plugin attaches a network at pod start, as a meta-plugin does."""
        sandbox, ifname = self.running[pod], interface_name(network)
        if ifname not in self.links_of(pod):
            self._next_ifindex += 1
            self.links[inode_of(sandbox)][ifname] = self._next_ifindex
            self.born[self._next_ifindex] = ifname
            self.leases.add((network, sandbox.id, ifname))
            self.made_by_kubelet.add((sandbox.id, ifname))

    def list_lacks(self, pod: PodKey) -> None:
        """A list of the API server lacks the pod, which exists."""
        if pod in self.pods:
            self.unlisted[pod] = self.pods.pop(pod)

    def list_has(self, pod: PodKey) -> None:
        if pod in self.unlisted:
            self.pods[pod] = self.unlisted.pop(pod)

    def pod_is_gone(self, pod: PodKey) -> None:
        for pods in (self.pods, self.unlisted):
            pods.pop(pod, None)

    def link_vanishes(self, pod: PodKey, network: str) -> None:
        if pod in self.running:
            self.links[inode_of(self.running[pod])].pop(interface_name(network), None)

    def link_is_renamed(self, pod: PodKey, network: str) -> None:
        links, ifname = self.links[inode_of(self.running[pod])], interface_name(network)
        links[f"{ifname[:11]}-nic"] = links.pop(ifname)

    def link_is_replaced(self, pod: PodKey, network: str) -> None:
        """The workload renames a link, and puts another one under its name."""
        self.link_is_renamed(pod, network)
        self._next_ifindex += 1
        self.links[inode_of(self.running[pod])][interface_name(network)] = self._next_ifindex
        self.foreign.add(self._next_ifindex)

    def link_is_moved(self, pod: PodKey, network: str) -> None:
        """The workload moves a link to a network namespace of its own."""
        inode = inode_of(self.running[pod])
        self.moved[self.links[inode].pop(interface_name(network))] = inode

    def links_of(self, pod: PodKey) -> dict[str, int]:
        """Index by name, without the loopback link."""
        links = self.links[inode_of(self.running[pod])] if pod in self.running else {}
        return {name: index for name, index in links.items() if name != "lo"}

    def remove_foreign_links(self) -> None:
        """The workloads remove the links that they put under the names of others."""
        for links in self.links.values():
            for name in [name for name, index in links.items() if index in self.foreign]:
                del links[name]

    def attached_to(self, pod: PodKey) -> dict[str, int]:
        """The links that were attached, under the names that they got then, whatever the workload did with them."""
        links = {*self.links_of(pod).values()} - self.foreign
        if pod in self.running:
            links |= {index for index, inode in self.moved.items() if inode == inode_of(self.running[pod])}
        return {self.born[index]: index for index in links}

    # --- the ports: what the core sees

    def get(self, key: PodKey) -> Pod | None:
        return self.pods.get(key)

    def confirm_gone(self, key: PodKey) -> None:
        if key in self.unlisted:
            raise PodNotGone(f"pod {key} still exists")

    def find_sandbox(self, pod: PodKey) -> Sandbox:
        if self.faults.runtime_down:
            raise RuntimeUnavailable("down")
        try:
            return self.running[pod]
        except KeyError:
            raise SandboxNotFound(pod) from None

    def follow(self, hints: Hints, stop: Stop) -> None:
        raise Invariant("the core follows nothing")

    def resolve(self, pod: Pod, attachment: Attachment, sandbox: Sandbox) -> tuple[Via, Invocation]:
        if attachment.network in self.faults.undefined:
            raise DefinitionError(attachment.network)
        via = Via.SYSTEM if attachment.network in self.of_system else Via.DELEGATE
        return via, Invocation(netconf(attachment.network), ("/bin",), (("MAC", attachment.mac or ""),))

    def corrected(self, record: Record) -> Invocation | None:
        attached = record.result is not None or record.adopted
        today = instead_of(record.invocation.netconf, lambda: self.netconf_today(record), attached=attached)
        return record.invocation._replace(netconf=today) if today else None

    def netconf_today(self, record: Record) -> NetConf | None:
        return None if record.attachment.network in self.faults.undefined else record.invocation.netconf

    @contextmanager
    def enter(self, ref: NetnsRef, sandbox_id: str) -> Iterator[_Netns]:
        if not self.runs(ref):
            raise NetnsGone(ref.path)
        self.faults.step()
        self.pins.add(ref.inode)
        yield _Netns(self, ref.inode)

    @contextmanager
    def reenter(self, ref: NetnsRef, sandbox_id: str) -> Iterator[_Netns]:
        if ref.inode not in self.links:
            raise NetnsGone(ref.path)
        yield _Netns(self, ref.inode)

    def runs(self, ref: NetnsRef) -> bool:
        return ref in [sandbox.netns for sandbox in self.running.values()]

    def unpin(self, ref: NetnsRef, sandbox_id: str) -> None:
        self.faults.step()
        self.pins.discard(ref.inode)
        self._let_go(ref.inode)

    def keep_only_pins_of_records(self) -> None:
        """As the agent does at its start."""
        for inode in self.pins - {record.netns.inode for record in self.disk.values()}:
            self.pins.discard(inode)
            self._let_go(inode)

    def add(self, call: Invocation, target: Target) -> Json:
        network, lease = call.netconf.name, _lease(call, target)
        self.operations.append(("ADD", *lease[1:]))
        self.faults.step()
        links = self._links_at(target.netns)
        if target.ifname in links:
            raise PluginError("bridge", f"container veth name provided ({target.ifname}) already exists")
        if lease in self.leases:
            raise PluginError("host-local", "duplicate allocation is not allowed")
        mode = self.faults.add_fails.get(network)
        if mode == "before":
            raise PluginError("bridge", "no such bridge")
        self._next_ifindex += 1
        links[target.ifname] = self._next_ifindex
        self.born[self._next_ifindex] = target.ifname
        self.macs[self._next_ifindex] = dict(call.args)["MAC"]
        self.faults.step()
        if mode == "link left":
            raise PluginError("bridge", "IPAM failed")
        self.leases.add(lease)
        self.faults.step()
        if mode == "both left":
            raise PluginError("bridge", "route failed: file exists")
        return {"cniVersion": "1.0.0", "ips": [{"address": "10.0.0.2/24"}]}

    def delete(self, call: Invocation, target: Target, added: Json | None) -> None:
        self.operations.append(("DEL", target.container_id, target.ifname))
        self.faults.step()
        if call.netconf.name in self.faults.delete_fails | self.faults.only_ipam_deletes:
            raise PluginError("bridge", "cannot delete now")
        self.leases.discard(_lease(call, target))
        self.faults.step()
        if target.netns:
            self._links_at(target.netns).pop(target.ifname, None)
        self.faults.step()

    def release(
        self, call: Invocation, target: Target, added: Json | None, positions: Collection[int] = ()
    ) -> tuple[Unreleased, ...]:
        try:
            self.delete(call, target, added)
        except PluginError as error:
            if call.netconf.name not in self.faults.only_ipam_deletes:
                return (Unreleased(0, error, "in /leases"),)
            self.leases.discard(_lease(call, target))
            self.faults.step()
            return (Unreleased(0, error),)
        return ()

    def result_of(self, record: Record) -> Json | None:
        return (
            {"ips": [{"address": "10.0.0.2/24"}]}
            if (record.sandbox_id, record.attachment.ifname) in self.made_by_kubelet
            else None
        )

    def of(self, pod: PodKey) -> list[Record]:
        return [record for (owner, _), record in self.disk.items() if owner == pod]

    def next_sequence(self) -> int:
        return max((record.sequence for record in self.disk.values()), default=0) + 1

    def put(self, record: Record) -> None:
        if self.faults.disk_full:
            raise StoreError("no space left")
        self.keep(record)

    def keep(self, record: Record) -> None:
        self.faults.step()
        key = record.pod, record.attachment.ifname
        self.disk[key] = record
        if not self.faults.disk_full:
            self.durable[key] = record
        self.faults.step()

    def remove(self, record: Record) -> None:
        self.faults.step()
        for records in (self.disk, self.durable):
            records.pop((record.pod, record.attachment.ifname), None)
        self.faults.step()

    def read_records(self) -> None:
        """As the agent does at its start."""
        self.disk = dict(self.durable)

    def _links_at(self, path: str) -> dict[str, int]:
        inode = _inode(path)
        if inode not in self.links:
            raise PluginError("bridge", f"failed to open netns {path}")
        return self.links[inode]


def inode_of(sandbox: Sandbox) -> int:
    assert sandbox.netns is not None
    return sandbox.netns.inode


def _inode(path: str) -> int:
    return int(path.split("/")[2])


def _lease(call: Invocation, target: Target) -> tuple[str, str, str]:
    if not target.container_id or not target.ifname:
        raise Invariant("an operation without container or interface")
    return call.netconf.name, target.container_id, target.ifname


class _Netns:
    def __init__(self, node: Node, inode: int) -> None:
        self._node = node
        self._inode = inode

    def links(self) -> dict[str, Link]:
        return {name: Link(index, self._node.macs.get(index, "")) for name, index in self._links().items()}

    def addresses(self, name: str) -> set[str]:
        return {"10.0.0.2"} if name in self._links() else set()

    def rename(self, old: str, new: str) -> None:
        self._node.faults.step()
        if new in self._links():
            raise NetnsUnavailable(f"{new}: File exists")
        self._links()[new] = self._links().pop(old)

    def remove(self, index: int) -> None:
        self._node.faults.step()
        for name in [name for name, each in self._links().items() if each == index]:
            del self._links()[name]

    def _links(self) -> dict[str, int]:
        if self._inode not in self._node.links:
            raise NetnsGone(str(self._inode))
        return self._node.links[self._inode]

    @property
    def path(self) -> str:
        return f"/proc/{self._inode}/ns/net"

    def intact(self) -> bool:
        return self._inode in self._node.links

    def runs(self) -> bool:
        return self._inode in map(inode_of, self._node.running.values())


class _HostEnds:
    """Every link has an end on the host for as long as it exists."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def far_ends(self, names: Collection[str]) -> dict[int, int]:
        made = {index for links in self._node.links.values() for index in links.values()} - self._node.foreign
        return {index: _FIRST_END + index for index in made}

    def macs(self) -> set[str]:
        return set(self._node.host_macs)

    def is_there(self, index: int, names: Collection[str]) -> bool:
        alive = {*self._node.moved}.union(*(links.values() for links in self._node.links.values()))
        return index - _FIRST_END in alive

    def remove(self, index: int) -> None:
        self._node.faults.step()
        self._node.moved.pop(index - _FIRST_END, None)


class Report:
    """A sink that keeps everything."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []
        self.settled_pods: list[tuple[PodKey, PodState]] = []

    def report(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)

    def settled(self, key: PodKey, state: PodState) -> None:
        self.settled_pods.append((key, state))

    def those(self, result: Result) -> list[Outcome]:
        """The outcomes with that result, in order."""
        return [outcome for outcome in self.outcomes if outcome.result is result]
