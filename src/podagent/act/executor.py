"""Carries out one action: network namespace -> CNI -> store. Decides nothing about what is wanted.

The order of the steps is the product's promise: a record says ATTACHING before ADD runs, and goes only after DEL
succeeded, so that a crash between any two steps leaves something that the next life of the agent can undo.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from typing import Protocol

from podagent.errors import (
    HostNetworkRefused,
    NetConfError,
    NetnsGone,
    PluginError,
    PluginNotRun,
    PodagentError,
    SandboxChanged,
)
from podagent.model import Attachment, Invocation, Json, NetnsRef, Phase, Pod, Record, Sandbox, Target, Via


class Cni(Protocol):
    """Runs CNI operations; `podagent.cni.runtime.CniRuntime` in the product."""

    def add(self, call: Invocation, target: Target) -> Json:
        """Raises NetConfError or PluginNotRun only if no plugin of the list was run."""

    def delete(self, call: Invocation, target: Target, added: Json | None) -> None: ...


class Networks(Protocol):
    """Says how a network is attached: by whom, and with which configuration."""

    def prepare(self, pod: Pod, attachment: Attachment, sandbox: Sandbox) -> tuple[Via, Invocation]: ...

    def current_netconf(self, record: Record) -> Json | None: ...


class Netns(Protocol):
    """A network namespace that is held open."""

    def links(self) -> Collection[str]: ...

    def ifindex(self, name: str) -> int: ...

    def intact(self) -> bool: ...


class Namespaces(Protocol):
    """Opens network namespaces."""

    def hold(self, ref: NetnsRef) -> AbstractContextManager[Netns]: ...


class Records(Protocol):
    """The part of the store that is written to."""

    def next_sequence(self) -> int: ...

    def put(self, record: Record) -> None: ...

    def remove(self, record: Record) -> None: ...


class Executor:
    """One action at a time for one pod; different pods in parallel."""

    def __init__(
        self,
        networks: Networks,
        namespaces: Namespaces,
        cni: Cni,
        records: Records,
        await_leftovers: Callable[[str, str], object],
        boot_id: str,
    ) -> None:
        """
        Args:
            await_leftovers: called with (container ID, interface name); waits for plugin processes that an earlier life
                of the agent left at work on that attachment.
            boot_id: of the present boot.
        """
        self._networks = networks
        self._namespaces = namespaces
        self._cni = cni
        self._records = records
        self._await_leftovers = await_leftovers
        self._boot_id = boot_id

    def attach(self, pod: Pod, attachment: Attachment, sandbox: Sandbox) -> Record:
        """Attaches a network, or adopts the interface that is there already.

        There must be no record of this interface. Returns the ATTACHED record. On an error that is raised, what was
        half done is undone, or stays recorded where that failed too, to be undone later.

        Raises:
            PodagentError: of the step that failed.
        """
        record = self._begun(pod, attachment, sandbox)
        with self._namespaces.hold(record.netns) as netns:
            ifindex = netns.ifindex(attachment.ifname)
            if ifindex:
                return self._saved(record._replace(phase=Phase.ATTACHED, ifindex=ifindex, adopted=True))
            return self._add(record, netns)

    def inherit(self, pod: Pod, attachment: Attachment, sandbox: Sandbox, *, complete: bool) -> Record:
        """Records as ours what another agent attached; nothing is run.

        Args:
            complete: whether its ADD had succeeded; else what it left is detached before anything else.

        Raises:
            PodagentError: it cannot be told now how it is to be detached, or the sandbox has ended.
        """
        record = self._begun(pod, attachment, sandbox)
        with self._namespaces.hold(record.netns) as netns:
            record = record._replace(ifindex=netns.ifindex(attachment.ifname))
        return self._saved(record._replace(phase=Phase.ATTACHED, adopted=True) if complete else record)

    def detach(self, record: Record) -> None:
        """Runs DEL with what was recorded at ADD, then forgets the record.

        Needs neither API server, definition, pod nor namespace. On an error the record stays as DETACHING.

        Raises:
            PodagentError: DEL failed, or left the interface behind.
        """
        if record.phase is not Phase.ATTACHED:
            # Only such a record can come from a life of the agent that was cut short with a plugin at work.
            self._await_leftovers(record.sandbox_id, record.attachment.ifname)
        if record.phase is not Phase.DETACHING:
            record = self._saved(record._replace(phase=Phase.DETACHING))
        try:
            self._delete(record)
        except PluginError:
            mended = self._mended(record)
            if mended is None:
                raise
            self._delete(mended)
        self._records.remove(record)

    def drifted(self, sandbox: Sandbox, records: list[Record]) -> frozenset[str]:
        """The interfaces among these ATTACHED records of the sandbox whose link has vanished from it."""
        attached = [r for r in records if r.phase is Phase.ATTACHED and r.ifindex and r.sandbox_id == sandbox.id]
        if not attached or sandbox.netns is None:
            return frozenset()
        with self._namespaces.hold(sandbox.netns) as netns:
            links = netns.links()
        return frozenset(r.attachment.ifname for r in attached if r.attachment.ifname not in links)

    def _begun(self, pod: Pod, attachment: Attachment, sandbox: Sandbox) -> Record:
        """The ATTACHING record of this attachment, not yet written."""
        if pod.host_network or sandbox.netns is None:
            raise HostNetworkRefused(f"pod {pod.key} uses the host's network: nothing is attached to it")
        via, invocation = self._networks.prepare(pod, attachment, sandbox)
        return Record(
            pod=pod.key,
            attachment=attachment,
            phase=Phase.ATTACHING,
            via=via,
            sandbox_id=sandbox.id,
            netns=sandbox.netns,
            boot_id=self._boot_id,
            sequence=self._records.next_sequence(),
            invocation=invocation,
            static=pod.static,
        )

    def _add(self, record: Record, netns: Netns) -> Record:
        record = self._saved(record)
        try:
            result = self._cni.add(record.invocation, record.target)
            if not netns.intact():
                raise SandboxChanged(f"sandbox {record.sandbox_id[:12]} of pod {record.pod} ended during ADD")
        except PodagentError as error:
            self._undo(record, netns, error)
            raise
        ifindex = netns.ifindex(record.attachment.ifname)
        return self._saved(record._replace(phase=Phase.ATTACHED, result=result, ifindex=ifindex))

    def _undo(self, record: Record, netns: Netns, error: PodagentError) -> None:
        if isinstance(error, (NetConfError, PluginNotRun)):
            # Nothing was built. A DEL would fail for the same reason, for ever, also once the definition is mended.
            self._records.remove(record)
            return
        if record.via is Via.SYSTEM and _says_exists(error) and record.attachment.ifname in netns.links():
            # The kubelet's call of the same plugin won the race: the interface is good, the next look adopts it.
            self._records.remove(record)
            return
        try:
            self.detach(record)
        except PodagentError as second:
            error.args = (f"{error}; undoing it failed too and will be tried again: {second}", *error.args[1:])

    def _mended(self, record: Record) -> Record | None:
        """The record with the definition of today, where that may clean up what the recorded one cannot.

        A faulty configuration fails ADD and then DEL, for ever. Only for what was never attached, and only if the
        network kept its name, under which IPAM keeps its leases: else DEL could succeed and release nothing.
        """
        if record.result is not None or record.adopted:
            return None
        recorded = record.invocation
        try:
            netconf = self._networks.current_netconf(record)
        except PodagentError:
            return None  # the failure of DEL is what is told
        if netconf is None or netconf == recorded.netconf or netconf["name"] != recorded.netconf["name"]:
            return None
        return record._replace(invocation=recorded._replace(netconf=netconf))

    def _delete(self, record: Record) -> None:
        try:
            if record.boot_id != self._boot_id:
                raise NetnsGone("it belonged to an earlier boot")
            with self._namespaces.hold(record.netns) as netns:
                self._cni.delete(record.invocation, record.target, record.result)
                if netns.intact() and record.attachment.ifname in netns.links():
                    raise PluginError(
                        record.invocation.netconf["plugins"][0]["type"],
                        f"DEL reported success, but {record.attachment.ifname} is still there",
                    )
        except NetnsGone:
            self._cni.delete(record.invocation, record.target._replace(netns=""), record.result)

    def _saved(self, record: Record) -> Record:
        self._records.put(record)
        return record


def _says_exists(error: PodagentError) -> bool:
    # "does not exist" must not pass for it: then the interface is half made.
    return isinstance(error, PluginError) and any(words in str(error) for words in ("already exists", "file exists"))
