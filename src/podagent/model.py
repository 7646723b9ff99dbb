"""The nouns everything shares. Pure data: no I/O, no decisions.

All types are immutable: state changes are new values, so that a value seen by one thread never changes under it.
They are named tuples: kactus starts for every pod operation, and to import `dataclasses` took it a sixth of its time.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Any, NamedTuple

from podagent.foreign import Json
from podagent.netconf import NetConf

NOTHING: Mapping[str, Any] = MappingProxyType({})


class PodKey(NamedTuple):
    """Which pod. `uid` is what its sandbox is labelled with: for a static pod the ``config.mirror`` hash,
    else ``metadata.uid``."""

    namespace: str
    name: str
    uid: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class Pod(NamedTuple):
    """The few fields of a pod object that are in use.

    Attributes:
        key: identity.
        object_uid: ``metadata.uid`` (of the mirror object for a static pod); Events refer to it.
        annotations: raw text by key of those annotations that ask for networks.
        phase: ``status.phase``.
        host_network: ``spec.hostNetwork``.
        static: a mirror of a static pod.
        incarnation: changes whenever a container of the pod was (re)started or it got another address; only
            compared, never read.
    """

    key: PodKey
    object_uid: str
    annotations: Mapping[str, str]
    phase: str
    host_network: bool = False
    static: bool = False
    incarnation: str = ""


class DefinitionRef(NamedTuple):
    """Which network definition.

    Attributes:
        api: its resource, group and version, such as ``networks.kaloom.com/v1``.
        namespace: "" as long as it is not known in which of several namespaces it is.
        name: DNS-1123 subdomain.
    """

    api: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name

    @property
    def path(self) -> str:
        """Path of the object on the API server. The namespace and the name must be valid ones."""
        resource, _, group = self.api.partition(".")
        return f"/apis/{group}/namespaces/{self.namespace}/{resource}/{self.name}"


class Attachment(NamedTuple):
    """One network that a pod wants, whatever dialect it was written in. Its identity is the interface name.

    Attributes:
        definition: the network definition; its namespace is "" when the entry names none.
        ifname: interface name in the pod.
        mac: requested MAC address in lower case, or None.
        capabilities: offered as ``runtimeConfig`` to plugins that declare the capability.
        args: CNI_ARGS pairs that the entry asks for, in order.
        upper_layers: interface names of the attachments that stack on this one.
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
    """A network namespace so that it is recognised again: a path alone may come to name another one.

    Attributes:
        path: ``/proc/<pid>/ns/net`` or a bind mount.
        inode: inode number of the namespace.
        started: start time of the process in a ``/proc/<pid>`` path (clock ticks since boot), 0 for other paths;
            PIDs and namespace inodes are recycled, both at once with the same start time are not.
    """

    path: str
    inode: int
    started: int = 0


class Sandbox(NamedTuple):
    """The running pod sandbox.

    Attributes:
        id: sandbox (infra container) ID.
        netns: its network namespace; None when it is the host's.
        populated: containers of the pod were created in it, so the kubelet has finished its network setup.
    """

    id: str
    netns: NetnsRef | None
    populated: bool = True

    @property
    def host_network(self) -> bool:
        return self.netns is None


class Phase(str, Enum):
    """Where an attachment stands. ATTACHING is written before ADD, the record goes after DEL succeeded."""

    ATTACHING = "ATTACHING"
    ATTACHED = "ATTACHED"
    DETACHING = "DETACHING"


class Operation(str, Enum):
    """What the agent does about a pod, or about one interface of it."""

    READ = "read the annotations"
    FIND = "find the sandbox"
    TAKE_OVER = "take over"
    VERIFY = "verify"
    ATTACH = "attach"
    DETACH = "detach"


class Via(str, Enum):
    """Who builds the interface: the node's system CNI plugin, or the agent by running the delegate itself."""

    SYSTEM = "system"
    DELEGATE = "delegate"


class Invocation(NamedTuple):
    """Everything that repeats a CNI operation later without asking anybody: what ADD was run with, DEL is run with.

    Attributes:
        netconf: the network configuration list.
        path: plugin directories, in lookup order (CNI_PATH).
        args: CNI_ARGS pairs, in order.
        capability_args: offered as ``runtimeConfig`` to plugins that declare the capability.
        definition: the network definition that the configuration came from, None for the system plugin's.
    """

    netconf: NetConf
    path: tuple[str, ...]
    args: tuple[tuple[str, str], ...] = ()
    capability_args: Mapping[str, Any] = NOTHING
    definition: DefinitionRef | None = None


class Target(NamedTuple):
    """Where a CNI operation acts.

    Attributes:
        container_id: CNI_CONTAINERID, the sandbox ID.
        netns: CNI_NETNS; "" when the namespace is gone (DEL only).
        ifname: CNI_IFNAME.
    """

    container_id: str
    netns: str
    ifname: str


class Record(NamedTuple):
    """What the agent did, or was about to do, for one attachment of one pod. See `Phase`.

    Attributes:
        sequence: rises with every attach on the node; detaching goes in reverse.
        boot_id: the boot during which it was attached; namespaces of an earlier boot are gone.
        result: the result of ADD as JSON; None before ADD ended and for adopted interfaces.
        ifindex: index of the link in the pod, 0 if the attachment has none (vhost-user and the like).
        adopted: the interface was there before we looked; somebody else ran the ADD.
        static: the pod is static: its mirror object may vanish while it runs on.
        extra: fields that a newer version wrote; they are kept.
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
    adopted: bool = False
    static: bool = False
    extra: Mapping[str, Any] = NOTHING

    @property
    def target(self) -> Target:
        return Target(self.sandbox_id, self.netns.path, self.attachment.ifname)


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
    return tuple(address for address in found if isinstance(address, str))
