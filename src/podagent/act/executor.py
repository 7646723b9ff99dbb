"""Carries out one operation: network namespace -> CNI -> record. Decides nothing about what is wanted.

The order of the steps is the product's promise: a record says ATTACHING before ADD runs, and goes only after DEL
succeeded, so that a crash between any two steps leaves something that the next life of the agent can undo.
"""

from __future__ import annotations

from collections.abc import Callable

from podagent.act.ports import Cni, Namespaces, Netns, Records
from podagent.errors import (
    CallRefused,
    CniError,
    HostNetworkRefused,
    InterfaceLeft,
    NetConfError,
    NetnsGone,
    NotUndone,
    PluginNotRun,
    PodagentError,
    SandboxChanged,
)
from podagent.model import Attachment, Invocation, Phase, Pod, Record, Sandbox, Via

_MARGIN_S = 10.0  # what ending a plugin that outlived its time-out takes
_RECORDS_S = 180.0  # disk and kernel, on a node that is busy with everything else


class Executor:
    """One operation at a time for one pod; different pods in parallel."""

    def __init__(
        self,
        namespaces: Namespaces,
        cni: Cni,
        records: Records,
        await_orphans: Callable[[str, str, float], object],
        boot_id: str,
        plugin_timeout_s: float = 120.0,
    ) -> None:
        """
        Args:
            await_orphans: called with container ID, interface name and `plugin_timeout_s`; waits for plugin processes
                that an earlier life of the agent left at work on that attachment.
            boot_id: of the present boot.
            plugin_timeout_s: seconds that one plugin may take.
        """
        self._namespaces = namespaces
        self._cni = cni
        self._records = records
        self._await_orphans = await_orphans
        self._boot_id = boot_id
        self._plugin_timeout_s = plugin_timeout_s

    def allowance(self, call: Invocation) -> float:
        """Seconds that `attach` or `detach` may take with this call, unless something is stuck.

        At the worst orphans are waited for, and the whole chain runs twice: ADD and the DEL that undoes it, or DEL with
        the namespace and without.
        """
        chain_s = len(call.netconf.plugins) * (self._plugin_timeout_s + _MARGIN_S)
        return self._plugin_timeout_s + 2 * chain_s + _RECORDS_S

    def attach(self, pod: Pod, attachment: Attachment, sandbox: Sandbox, via: Via, call: Invocation) -> Record:
        """Attaches a network, or adopts the interface that is there already.

        There must be no record of this interface. Returns the ATTACHED record. On an error that is raised, what was
        half done is undone, or stays recorded where that failed too (the error's cause is a NotUndone then).

        Raises:
            PodagentError: of the step that failed.
        """
        record = self._begun(pod, attachment, sandbox, via, call)
        with self._namespaces.hold(record.netns) as netns:
            ifindex = netns.ifindex(attachment.ifname)
            if ifindex:
                return self._saved(record._replace(phase=Phase.ATTACHED, ifindex=ifindex, adopted=True))
            return self._add(record, netns)

    def inherit(
        self, pod: Pod, attachment: Attachment, sandbox: Sandbox, via: Via, call: Invocation, *, complete: bool
    ) -> Record:
        """Records as ours what another agent attached; nothing is run.

        Args:
            complete: whether its ADD had succeeded; else what it left is detached before anything else.

        Raises:
            PodagentError: the sandbox has ended.
        """
        record = self._begun(pod, attachment, sandbox, via, call)
        with self._namespaces.hold(record.netns) as netns:
            record = record._replace(ifindex=netns.ifindex(attachment.ifname))
        return self._saved(record._replace(phase=Phase.ATTACHED, adopted=True) if complete else record)

    def detach(self, record: Record, call: Invocation | None = None) -> None:
        """Runs DEL with what was recorded at ADD, then forgets the record.

        Needs neither API server, definition, pod nor namespace. On an error the record stays as DETACHING.

        Args:
            record: what is detached.
            call: what DEL is run with in place of what was recorded.

        Raises:
            PodagentError: DEL failed, or left the interface behind.
        """
        if record.phase is not Phase.ATTACHED:
            # Only such a record can come from a life of the agent that was cut short with a plugin at work.
            self._await_orphans(record.sandbox_id, record.attachment.ifname, self._plugin_timeout_s)
        if record.phase is not Phase.DETACHING:
            record = self._saved(record._replace(phase=Phase.DETACHING))
        self._delete(record, call or record.invocation)
        self._records.remove(record)

    def drifted(self, sandbox: Sandbox, records: list[Record]) -> list[Record]:
        """Those of the ATTACHED records of the sandbox whose link has vanished from it. Raises PodagentError."""
        attached = [r for r in records if r.phase is Phase.ATTACHED and r.ifindex and r.sandbox_id == sandbox.id]
        if not attached or sandbox.netns is None:
            return []
        with self._namespaces.hold(sandbox.netns) as netns:
            links = netns.links()
        return [record for record in attached if record.attachment.ifname not in links]

    def _begun(self, pod: Pod, attachment: Attachment, sandbox: Sandbox, via: Via, call: Invocation) -> Record:
        """The ATTACHING record of this attachment, not yet written."""
        require_own_network(pod, sandbox)
        assert sandbox.netns is not None  # noqa: S101 - for the type checker: just required
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

    def _add(self, record: Record, netns: Netns) -> Record:
        record = self._saved(record)
        try:
            result = self._cni.add(record.invocation, record.target)
            if not netns.intact():
                raise SandboxChanged(f"sandbox {record.sandbox_id[:12]} of pod {record.pod} ended during ADD")
        except PodagentError as error:
            try:
                self._undo(record, netns, error)
            except PodagentError as second:
                raise error from NotUndone(f"undoing it failed too and will be tried again: {second}")
            raise
        ifindex = netns.ifindex(record.attachment.ifname)
        return self._saved(record._replace(phase=Phase.ATTACHED, result=result, ifindex=ifindex))

    def _undo(self, record: Record, netns: Netns, error: PodagentError) -> None:
        if isinstance(error, (NetConfError, CallRefused, PluginNotRun)):
            # Nothing was built. A DEL would fail for the same reason every time, also with the definition corrected.
            self._records.remove(record)
        elif record.via is Via.SYSTEM and _says_exists(error) and record.attachment.ifname in netns.links():
            # The kubelet's call of the same plugin won the race: the interface is good, the next look adopts it.
            self._records.remove(record)
        else:
            self.detach(record)

    def _delete(self, record: Record, call: Invocation) -> None:
        try:
            if record.boot_id != self._boot_id:
                raise NetnsGone("it belonged to an earlier boot")
            with self._namespaces.hold(record.netns) as netns:
                self._cni.delete(call, record.target, record.result)
                if netns.intact() and record.attachment.ifname in netns.links():
                    raise InterfaceLeft(f"DEL reported success, but {record.attachment.ifname} is still there")
        except NetnsGone:
            self._cni.delete(call, record.target._replace(netns=""), record.result)

    def _saved(self, record: Record) -> Record:
        self._records.put(record)
        return record


def require_own_network(pod: Pod | None, sandbox: Sandbox | None) -> tuple[Pod, Sandbox]:
    """Raises HostNetworkRefused unless there is a sandbox with a network of its own."""
    if pod is None or sandbox is None or pod.host_network or sandbox.netns is None:
        raise HostNetworkRefused(f"pod {pod and pod.key} uses the host's network: nothing is attached to it")
    return pod, sandbox


def _says_exists(error: PodagentError) -> bool:
    # "does not exist" must not pass for it: then the interface is half made.
    return isinstance(error, CniError) and any(words in str(error) for words in ("already exists", "file exists"))
