"""Data types shared by all packages. Pure data: no I/O, no decisions.

All types are immutable, so threads can share values without locks. They are named tuples because importing
`dataclasses` took a sixth of the run time of kactus, which starts for every pod operation.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Any, NamedTuple

from podagent.errors import CniError
from podagent.foreign import Json, lenient
from podagent.netconf import NetConf

# Not every result was checked: adopted ones were read from files.
_ADDRESS = re.compile(r"[0-9A-Fa-f:.]{2,45}/[0-9]{1,3}")
NOTHING: Mapping[str, Any] = MappingProxyType({})


class PodKey(NamedTuple):
    """Identity of a pod. `uid` is the UID its sandbox is labelled with: ``metadata.uid``, or the
    ``kubernetes.io/config.mirror`` hash of a static pod."""

    namespace: str
    name: str
    uid: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class Pod(NamedTuple):
    """The fields of a pod object that the agent uses.

    Attributes:
        key: identity.
        object_uid: ``metadata.uid`` (of the mirror pod for a static pod); Events refer to it.
        annotations: raw text by key, only those that request networks.
        phase: ``status.phase``.
        host_network: ``spec.hostNetwork``.
        static: this is the mirror pod of a static pod.
        incarnation: changes whenever a container of the pod (re)starts or the pod's address changes; compared, never
            parsed.
        asked_at: when these annotations were received, in seconds of the monotonic clock.
    """

    key: PodKey
    object_uid: str
    annotations: Mapping[str, str]
    phase: str
    host_network: bool = False
    static: bool = False
    incarnation: str = ""
    asked_at: float = 0.0

    @property
    def ended(self) -> bool:
        """All its containers have ended, and none will start again."""
        return self.phase in ("Succeeded", "Failed")


class DefinitionRef(NamedTuple):
    """Reference to a network definition.

    Attributes:
        api: resource, group and version, such as ``networks.kaloom.com/v1``.
        namespace: "" while the namespace is not resolved.
        name: DNS-1123 subdomain.
    """

    api: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name

    @property
    def path(self) -> str:
        """Path of the object on the API server. The namespace and the name must be valid."""
        resource, _, group = self.api.partition(".")
        return f"/apis/{group}/namespaces/{self.namespace}/{resource}/{self.name}"


class Attachment(NamedTuple):
    """One network that a pod wants, independent of the dialect. The interface name identifies it.

    Attributes:
        definition: the network definition; its namespace is "" if the entry specifies none.
        ifname: interface name in the pod.
        mac: requested MAC address in lower case, or None.
        capabilities: passed as ``runtimeConfig`` to plugins that declare the capability.
        args: CNI_ARGS pairs requested by the entry, in order.
        upper_layers: interface names of the attachments stacked on this one.
    """

    definition: DefinitionRef
    ifname: str
    mac: str | None = None
    capabilities: Mapping[str, Any] = NOTHING
    args: tuple[tuple[str, str], ...] = ()
    upper_layers: tuple[str, ...] = ()

    @property
    def network(self) -> str:
        """Name of the network, for messages."""
        return self.definition.name


class NetnsRef(NamedTuple):
    """A network namespace, identified beyond its path: the kernel may reuse the path for another one.

    Attributes:
        path: ``/proc/<pid>/ns/net`` or a bind mount.
        inode: inode number of the namespace.
        started: start time of the process in a ``/proc/<pid>`` path (clock ticks since boot), 0 for other paths.
            PIDs and inodes are recycled, but never both with the same start time.
    """

    path: str
    inode: int
    started: int = 0


class CniDirectories(NamedTuple):
    """Directories of CNI configuration and of CNI plugins, in lookup order; empty if unknown."""

    conf: tuple[str, ...] = ()
    bin: tuple[str, ...] = ()


class Sandbox(NamedTuple):
    """The running pod sandbox.

    Attributes:
        id: sandbox (infra container) ID.
        netns: its network namespace; None for the host's.
        populated: it has containers, so the kubelet has finished the network setup.
        guest: the runtime that takes its interfaces over into a guest when it starts; "" for all others.
    """

    id: str
    netns: NetnsRef | None
    populated: bool = True
    guest: str = ""

    @property
    def host_network(self) -> bool:
        return self.netns is None


class Phase(str, Enum):
    """Phase of a record. ATTACHING is written before ADD; the record is removed after a successful DEL."""

    ATTACHING = "ATTACHING"
    ATTACHED = "ATTACHED"
    DETACHING = "DETACHING"


class Operation(str, Enum):
    """An action on a pod, or on one interface of it."""

    READ = "read the annotations"
    FIND = "find the sandbox"
    CONFIRM = "confirm that the pod is gone"
    TAKE_OVER = "take over"
    VERIFY = "verify"
    ATTACH = "attach"
    DETACH = "detach"


class Via(str, Enum):
    """Who creates the interface: the node's system CNI plugin, or the agent by running the delegate itself."""

    SYSTEM = "system"
    DELEGATE = "delegate"


class Invocation(NamedTuple):
    """All inputs of a CNI operation except its `Target`. DEL runs with the inputs of ADD, without any lookup.

    Attributes:
        netconf: the network configuration list.
        path: plugin directories, in lookup order (CNI_PATH).
        args: CNI_ARGS pairs, in order.
        capability_args: passed as ``runtimeConfig`` to plugins that declare the capability.
        definition: source of the configuration; None for the system plugin's.
    """

    netconf: NetConf
    path: tuple[str, ...]
    args: tuple[tuple[str, str], ...] = ()
    capability_args: Mapping[str, Any] = NOTHING
    definition: DefinitionRef | None = None


class Link(NamedTuple):
    """A link in a network namespace: its index, and its MAC address in lower case, "" if it has none."""

    ifindex: int
    mac: str = ""


class Unreleased(NamedTuple):
    """A plugin of a list whose DEL failed.

    Attributes:
        position: its position in the list.
        error: why.
        lease: where an address may stay reserved; "" if its IPAM plugin has released it, or there is none.
        ipam_ran: False if its IPAM plugin cannot be run at all.
    """

    position: int
    error: CniError
    lease: str = ""
    ipam_ran: bool = True


class Target(NamedTuple):
    """The object of a CNI operation.

    Attributes:
        container_id: CNI_CONTAINERID, the sandbox ID.
        netns: CNI_NETNS; "" when the namespace is gone (DEL only).
        ifname: CNI_IFNAME.
    """

    container_id: str
    netns: str
    ifname: str


class Record(NamedTuple):
    """The durable state of one attachment of one pod. See `Phase`.

    Attributes:
        sequence: increases with every attach on the node; detaching runs in reverse order.
        boot_id: the boot in which it was attached; namespaces of an earlier boot are gone.
        result: the result of ADD as JSON; None before ADD ended and for adopted interfaces.
        ifindex: index of the link in the pod, 0 if the attachment has no link (vhost-user and the like).
        peer: index of the link's other end on the host, 0 if it has none or is unknown.
        mac: MAC address of the link after ADD, "" if unknown.
        left: while DETACHING, positions in the plugin list whose DEL has failed alone; empty: all are to be run.
        failures: DELs that have failed since the second one.
        adopted: the interface existed already; the agent did not run its ADD.
        static: the pod is static: its mirror pod may vanish while it keeps running.
        extra: unknown fields written by a newer version; preserved.
    """

    pod: PodKey
    attachment: Attachment
    phase: Phase
    via: Via
    sandbox_id: str
    netns: NetnsRef
    boot_id: str
    sequence: int
    invocation: Invocation
    result: Json | None = None
    ifindex: int = 0
    peer: int = 0
    mac: str = ""
    left: tuple[int, ...] = ()
    failures: int = 0
    adopted: bool = False
    static: bool = False
    extra: Mapping[str, Any] = NOTHING

    def target(self, netns: str) -> Target:
        """`netns`: path of the namespace, "" if it is gone."""
        return Target(self.sandbox_id, netns, self.attachment.ifname)


def host_interfaces(result: Json | None) -> tuple[str, ...]:
    """Names of the links of the host in a CNI result, in order; there are none before version 0.3.0."""
    links = [each for each in lenient(result, "interfaces", list) if not lenient(each, "sandbox", str)]
    return tuple(filter(None, (lenient(each, "name", str) for each in links)))


def result_addresses(result: Json | None) -> tuple[str, ...]:
    """The addresses in a CNI result of any version, as CIDR strings, in order."""
    if not result:
        return ()
    ips = result.get("ips") or []
    found = [ip.get("address") for ip in ips if isinstance(ip, dict)]
    for legacy in ("ip4", "ip6"):
        entry = result.get(legacy)
        if isinstance(entry, dict):
            found.append(entry.get("ip"))
    return tuple(address for address in found if isinstance(address, str) and _ADDRESS.fullmatch(address))
