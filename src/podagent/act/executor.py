"""Executes one operation: network namespace -> CNI -> record. It does not decide what to do.

Crash safety follows from the order of the steps: the ATTACHING record is written before ADD, and a record is removed
only after DEL succeeded. After a crash between any two steps, the next process rolls back what is on record.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, suppress

from podagent.act.ports import Cni, Evidence, Namespaces, Netns, Records
from podagent.act.slowlane import SlowLane
from podagent.errors import (
    CallRefused,
    CniError,
    HostNetworkRefused,
    InterfaceForeign,
    InterfaceLeft,
    NetConfError,
    NetnsGone,
    NetnsUnavailable,
    NotUndone,
    PluginNotRun,
    PodagentError,
    SandboxChanged,
)
from podagent.model import Attachment, Invocation, Phase, Pod, PodKey, Record, Sandbox, Via
from podagent.resolve.reach import moves_links

_MARGIN_S = 10.0  # to terminate a plugin that exceeded its timeout
_RECORDS_S = 180.0  # disk and kernel on an overloaded node


class Executor:
    """Executes one operation at a time per pod; different pods in parallel."""

    def __init__(
        self,
        namespaces: Namespaces,
        cni: Cni,
        records: Records,
        evidence: Evidence,
        await_orphans: Callable[[str, str, float], object],
        boot_id: str,
        slow_lane: SlowLane,
        plugin_timeout_s: float = 120.0,
    ) -> None:
        """
        Args:
            await_orphans: called with container ID, interface name and `plugin_timeout_s`; waits for plugin processes
                that a previous process of the agent left running on that attachment.
            boot_id: ID of the current boot.
            slow_lane: limits concurrent operations on networks whose plugins time out.
            plugin_timeout_s: time limit per plugin run, in seconds.
        """
        self._namespaces = namespaces
        self._cni = cni
        self._records = records
        self._evidence = evidence
        self._await_orphans = await_orphans
        self._boot_id = boot_id
        self._slow_lane = slow_lane
        self._plugin_timeout_s = plugin_timeout_s

    def admitted(self, pod: PodKey, attachment: Attachment) -> AbstractContextManager[bool]:
        """Surrounds the operations of one step. Yields False if it must not run now: see `SlowLane.step`."""
        return self._slow_lane.step((pod.namespace, attachment.network))

    def allowance(self, call: Invocation) -> float:
        """Upper bound in seconds for `attach` or `detach` with this call.

        The worst case is waiting for orphans, then running the whole chain twice: ADD and the DEL that rolls it back,
        or DEL with the namespace and without.
        """
        chain_s = len(call.netconf.plugins) * (self._plugin_timeout_s + _MARGIN_S)
        return self._plugin_timeout_s + 2 * chain_s + _RECORDS_S

    def attach(self, pod: Pod, attachment: Attachment, sandbox: Sandbox, via: Via, call: Invocation) -> Record:
        """Attaches a network, or adopts an existing interface of which it is proven. Returns the ATTACHED record.

        The interface must not have a record. If it raises, the partial attach was rolled back, or stays recorded for a
        later rollback; in that case the error's cause is a NotUndone.

        Raises:
            InterfaceForeign: an existing interface cannot be adopted.
            PodagentError: a step failed.
        """
        record = self._new_record(pod, attachment, sandbox, via, call)
        try:
            with self._namespaces.enter(record.netns, sandbox.id) as netns:
                ifindex = netns.ifindex(attachment.ifname)
                if ifindex:
                    adopted = self._proven(record, ifindex)
                    if attachment.mac in (None, netns.mac(attachment.ifname)):
                        return self._saved(adopted)
                    self._undo(adopted)  # it was made when another MAC address was requested
                return self._add(record, netns)
        except PodagentError:
            self._unpin_unless_used(record)
            raise

    def inherit(
        self, pod: Pod, attachment: Attachment, sandbox: Sandbox, via: Via, call: Invocation, *, complete: bool
    ) -> Record:
        """Records as ours an attachment of another agent. Runs no plugin.

        Args:
            complete: its ADD had succeeded; otherwise the record starts as ATTACHING and is detached first.

        Raises:
            PodagentError: the sandbox has ended.
        """
        record = self._new_record(pod, attachment, sandbox, via, call)
        with self._namespaces.enter(record.netns, sandbox.id) as netns:
            record = record._replace(ifindex=netns.ifindex(attachment.ifname))
        return self._saved(record._replace(phase=Phase.ATTACHED, adopted=True) if complete else record)

    def detach(self, record: Record, call: Invocation | None = None) -> None:
        """Runs DEL with the recorded invocation, then removes the record.

        Needs neither API server, definition, pod nor namespace. If it raises, the record stays as DETACHING.

        Args:
            record: the attachment to detach.
            call: replaces the recorded invocation.

        Raises:
            PodagentError: DEL failed, or the interface still exists.
        """
        self._undo(record, call)
        self._unpin_unless_used(record)

    def ended(self, records: list[Record]) -> frozenset[str]:
        """The interfaces whose sandbox has certainly ended. Raises NetnsUnavailable."""
        return frozenset(record.attachment.ifname for record in records if not self._runs(record))

    def _runs(self, record: Record) -> bool:
        return record.boot_id == self._boot_id and self._namespaces.runs(record.netns)

    def _undo(self, record: Record, call: Invocation | None = None) -> None:
        if record.phase is not Phase.ATTACHED:
            # Only these phases can stem from a process that was killed while a plugin was running.
            self._await_orphans(record.sandbox_id, record.attachment.ifname, self._plugin_timeout_s)
        if record.phase is not Phase.DETACHING:
            record = record._replace(phase=Phase.DETACHING)
            self._records.keep(record)  # whatever became of the disk, the interface and its address can be released
        self._delete(record, call or record.invocation)
        self._records.remove(record)

    def drifted(self, sandbox: Sandbox, records: list[Record]) -> list[Record]:
        """The ATTACHED records of the sandbox whose link has vanished from it. Raises PodagentError."""
        attached = [r for r in records if r.phase is Phase.ATTACHED and r.ifindex and r.sandbox_id == sandbox.id]
        if not attached or sandbox.netns is None:
            return []
        with self._namespaces.enter(sandbox.netns, sandbox.id) as netns:
            links = netns.links()
        return [record for record in attached if record.attachment.ifname not in links]

    def _new_record(self, pod: Pod, attachment: Attachment, sandbox: Sandbox, via: Via, call: Invocation) -> Record:
        """The ATTACHING record of this attachment, not written yet."""
        require_own_network(pod, sandbox)
        assert sandbox.netns is not None  # noqa: S101 - for the type checker: checked above
        return Record(
            pod=pod.key,
            attachment=attachment,
            phase=Phase.ATTACHING,
            via=via,
            sandbox_id=sandbox.id,
            netns=sandbox.netns,
            boot_id=self._boot_id,
            sequence=self._records.next_sequence(),
            invocation=call,
            static=pod.static,
        )

    def _proven(self, record: Record, ifindex: int) -> Record:
        """The ATTACHED record of an existing interface, not written yet. Raises InterfaceForeign."""
        if _may_move_to_host(record):
            raise _foreign(record, "its plugin would move it to the host on DEL")
        result = self._evidence.result_of(record)
        if result is None:
            raise _foreign(record, f"nothing shows that an ADD for network {record.attachment.network} made it")
        return record._replace(phase=Phase.ATTACHED, result=result or None, ifindex=ifindex, adopted=True)

    def _add(self, record: Record, netns: Netns) -> Record:
        record = self._saved(record)
        try:
            result = self._cni.add(record.invocation, record.target(netns.path))
            if not netns.runs():
                raise SandboxChanged(f"sandbox {record.sandbox_id[:12]} of pod {record.pod} ended during ADD")
        except PodagentError as error:
            try:
                self._roll_back(record, netns, error)
            except PodagentError as second:
                raise error from NotUndone(f"the rollback failed too and will be retried: {second}")
            raise
        ifindex = netns.ifindex(record.attachment.ifname)
        attached = record._replace(phase=Phase.ATTACHED, result=result, ifindex=ifindex)
        self._records.keep(attached)
        return attached

    def _roll_back(self, record: Record, netns: Netns, error: PodagentError) -> None:
        if isinstance(error, (NetConfError, CallRefused, PluginNotRun)):
            # Nothing was created. DEL would fail for the same reason, even with a corrected definition.
            self._records.remove(record)
        elif record.via is Via.SYSTEM and _already_exists(error) and record.attachment.ifname in netns.links():
            # The kubelet's call of the same plugin won the race: the interface is good, and the next pass adopts it.
            self._records.remove(record)
        else:
            self._undo(record)

    def _delete(self, record: Record, call: Invocation) -> None:
        if record.adopted and _may_move_to_host(record):
            # Recorded by a version that adopted without proof. IPAM still gets its DEL.
            return self._cni.delete(call, record.target(""), record.result)
        try:
            if record.boot_id != self._boot_id:
                raise NetnsGone("it belonged to an earlier boot")
            with self._namespaces.reenter(record.netns, record.sandbox_id) as netns:
                self._cni.delete(call, record.target(netns.path), record.result)
                if netns.intact() and record.attachment.ifname in netns.links():
                    raise InterfaceLeft(f"DEL reported success, but {record.attachment.ifname} is still there")
        except NetnsGone:
            self._cni.delete(call, record.target(""), record.result)

    def _unpin_unless_used(self, record: Record) -> None:
        if all(other.netns != record.netns for other in self._records.of(record.pod)):
            with suppress(NetnsUnavailable):  # the next start tries again
                self._namespaces.unpin(record.netns, record.sandbox_id)

    def _saved(self, record: Record) -> Record:
        self._records.put(record)
        return record


def require_own_network(pod: Pod | None, sandbox: Sandbox | None) -> tuple[Pod, Sandbox]:
    """Raises HostNetworkRefused unless the pod has a sandbox with its own network namespace."""
    if pod is None or sandbox is None or pod.host_network or sandbox.netns is None:
        raise HostNetworkRefused(f"pod {pod and pod.key} uses the host's network: nothing is attached to it")
    return pod, sandbox


def _may_move_to_host(record: Record) -> bool:
    """Whether DEL moves the link. The system plugin refuses links that it did not attach."""
    return record.via is Via.DELEGATE and moves_links(record.invocation.netconf)


def _foreign(record: Record, why: str) -> InterfaceForeign:
    name = record.attachment.ifname
    return InterfaceForeign(f"interface {name} exists in the pod already, and {why}; remove or rename it there")


def _already_exists(error: PodagentError) -> bool:
    # "does not exist" must not match: that error leaves a partial interface.
    return isinstance(error, CniError) and any(words in str(error) for words in ("already exists", "file exists"))
