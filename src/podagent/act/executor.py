"""Executes one operation: network namespace -> CNI -> record. It does not decide what to do.

Crash safety follows from the order of the steps: the ATTACHING record is written before ADD, and a record is removed
only after DEL succeeded. After a crash between any two steps, the next process rolls back what is on record.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress

from podagent.act.ownership import made_by_add, may_move_to_host
from podagent.act.ports import Cni, Evidence, HostEnds, Namespaces, Netns, Records
from podagent.act.slowlane import SlowLane
from podagent.act.undoing import Undoing
from podagent.errors import (
    CallRefused,
    CniError,
    HostNetworkRefused,
    InterfaceForeign,
    NetConfError,
    NetnsUnavailable,
    NotUndone,
    PluginNotRun,
    PodagentError,
    SandboxChanged,
)
from podagent.foreign import Json
from podagent.model import (
    Attachment,
    Invocation,
    Link,
    Phase,
    Pod,
    PodKey,
    Record,
    Sandbox,
    Via,
    host_interfaces,
    result_addresses,
)

_MARGIN_S = 10.0  # to terminate a plugin that exceeded its timeout
_RECORDS_S = 180.0  # disk and kernel on an overloaded node


class Executor:
    """Executes one operation at a time per pod; different pods in parallel."""

    def __init__(
        self,
        namespaces: Namespaces,
        ends: HostEnds,
        cni: Cni,
        records: Records,
        evidence: Evidence,
        undoing: Undoing,
        boot_id: str,
        slow_lane: SlowLane,
        plugin_timeout_s: float = 120.0,
    ) -> None:
        """
        Args:
            ends: the host's ends of links.
            boot_id: ID of the current boot.
            slow_lane: limits concurrent operations on networks whose plugins time out.
            plugin_timeout_s: time limit per plugin run, in seconds.
        """
        self._namespaces = namespaces
        self._ends = ends
        self._cni = cni
        self._records = records
        self._evidence = evidence
        self._undoing = undoing
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
        with self._entered(record) as netns:
            links = netns.links()
            link = links.get(attachment.ifname)
            if link is not None:
                adopted = self._with_link(self._proven(record), {}, links)
                if attachment.mac in (None, link.mac):
                    return self._saved(adopted)
                self._undoing.undo(adopted)  # it was made when another MAC address was requested
                links = netns.links()
            return self._add(record, netns, links)

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
        with self._entered(record) as netns:
            record = self._with_link(record, {}, netns.links())
            return self._saved(record._replace(phase=Phase.ATTACHED, adopted=True) if complete else record)

    def detach(self, record: Record, call: Invocation | None = None) -> str:
        """Runs DEL with the recorded invocation, then removes the record: see `Undoing.undo`.

        Needs neither API server, definition, pod nor namespace.
        """
        remark = self._undoing.undo(record, call)
        self._unpin_unless_used(record)
        return remark

    def ended(self, records: list[Record]) -> frozenset[str]:
        """The interfaces whose sandbox has certainly ended. Raises NetnsUnavailable."""
        return frozenset(record.attachment.ifname for record in records if not self._undoing.runs(record))

    def drifted(self, sandbox: Sandbox, records: list[Record]) -> list[Record]:
        """The ATTACHED records of the sandbox whose link has vanished from it. Raises PodagentError."""
        here = (sandbox.id, sandbox.netns)
        attached = [r for r in records if r.phase is Phase.ATTACHED and r.ifindex and (r.sandbox_id, r.netns) == here]
        if not attached or sandbox.netns is None:
            return []
        with self._namespaces.enter(sandbox.netns, sandbox.id) as netns:
            links = netns.links()
        return [record for record in attached if not self._undoing.is_there(record, links)]

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

    @contextmanager
    def _entered(self, record: Record) -> Iterator[Netns]:
        """The namespace of a new record, pinned; after a failure only if a record needs it."""
        try:
            with self._namespaces.enter(record.netns, record.sandbox_id) as netns:
                yield netns
        except PodagentError:
            self._unpin_unless_used(record)
            raise

    def _proven(self, record: Record) -> Record:
        """The ATTACHED record of an existing interface, not written yet. Raises InterfaceForeign."""
        if may_move_to_host(record):
            raise _foreign(record, "its plugin would move it to the host on DEL")
        result = self._evidence.result_of(record)
        if result is None:
            raise _foreign(record, f"nothing shows that an ADD for network {record.attachment.network} made it")
        return record._replace(phase=Phase.ATTACHED, result=result or None, adopted=True)

    def _with_link(self, record: Record, before: Mapping[str, Link], links: Mapping[str, Link]) -> Record:
        """The record with what identifies its link, if there is one; `before`: the links before ADD."""
        ends = self._ends.far_ends(host_interfaces(record.result))
        known = {link.ifindex for link in before.values()}
        link = made_by_add(record.attachment.ifname, record.result, known, links, ends)
        if link is None:
            return record
        return record._replace(ifindex=link.ifindex, mac=link.mac, peer=ends.get(link.ifindex, 0))

    def _add(self, record: Record, netns: Netns, before: Mapping[str, Link]) -> Record:
        host = self._ends.macs() if may_move_to_host(record) else None
        record = self._saved(record)
        try:
            result = self._cni.add(record.invocation, record.target(netns.path))
            if not netns.runs():
                raise SandboxChanged(f"sandbox {record.sandbox_id[:12]} of pod {record.pod} ended during ADD")
        except PodagentError as error:
            try:
                self._roll_back(record, netns, error, host)
            except PodagentError as second:
                raise error from NotUndone(f"the rollback failed too and will be retried: {second}")
            raise
        record = record._replace(result=result)
        try:
            attached = self._with_link(record, before, netns.links())._replace(phase=Phase.ATTACHED)
        except PodagentError:
            self._records.keep(record)  # it is undone with its result
            raise
        self._records.keep(attached)
        return attached

    def _roll_back(self, record: Record, netns: Netns, error: PodagentError, host: Collection[str] | None) -> None:
        """`host`: MAC addresses of the host's links before ADD, None if it moves none."""
        if isinstance(error, (NetConfError, CallRefused, PluginNotRun)):
            # Nothing was created. DEL would fail for the same reason, even with a corrected definition.
            self._records.remove(record)
        elif record.via is Via.SYSTEM and _already_exists(error) and self._is_complete(record, netns):
            # The kubelet's call of the same plugin won the race: the interface is good, and the next pass adopts it.
            self._records.remove(record)
        elif host is None:
            self._undoing.undo(record)
        else:
            self._undoing.undo(record, moved={*host} - {*self._ends.macs()})

    def _is_complete(self, record: Record, netns: Netns) -> bool:
        """Whether the link has the addresses of the ADD that made it, and at least one."""
        expected = _addresses(self._evidence.result_of(record))
        return bool(expected) and expected.issubset(netns.addresses(record.attachment.ifname))

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


def _foreign(record: Record, why: str) -> InterfaceForeign:
    name = record.attachment.ifname
    return InterfaceForeign(f"interface {name} exists in the pod already, and {why}; remove or rename it there")


def _already_exists(error: PodagentError) -> bool:
    # "does not exist" must not match: that error leaves a partial interface.
    return isinstance(error, CniError) and any(words in str(error) for words in ("already exists", "file exists"))


def _addresses(result: Json | None) -> set[str]:
    try:
        return {str(ipaddress.ip_interface(address).ip) for address in result_addresses(result)}
    except ValueError:  # it was read from a file
        return set()
