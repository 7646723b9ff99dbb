"""Takes over what the agent before this one attached to a pod, ahead of the pod's first reconciliation."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from podagent.act.executor import Executor
from podagent.act.reconciler import Pods, RecordsOf, Runtime
from podagent.decide.dialects.kaloom import Desired, read_annotation
from podagent.errors import InputError, PodagentError
from podagent.model import Attachment, Pod, PodKey, Record, Sandbox, interface_name

_RETRY_SECONDS = 5.0


class Inherited(Protocol):
    """One network that the predecessor attached; see `podagent.takeover.kaloom.Inherited`."""

    @property
    def network(self) -> str: ...

    @property
    def mac(self) -> str | None: ...

    @property
    def sandbox_id(self) -> str: ...

    @property
    def complete(self) -> bool: ...


class Predecessor(Protocol):
    """The agent that this one has replaced."""

    def of(self, pod: PodKey) -> Sequence[Inherited]: ...

    def settled(self, pod: PodKey) -> None: ...


class Report(Protocol):
    """Where users read what happened."""

    def waiting(self, pod: Pod, reason: PodagentError) -> None: ...

    def inherited(self, record: Record) -> None: ...


class Inheritance:
    """At most one call for a pod at any time; pods in parallel."""

    def __init__(
        self,
        predecessor: Predecessor,
        pods: Pods,
        records: RecordsOf,
        runtime: Runtime,
        executor: Executor,
        report: Report,
        global_namespaces: Collection[str],
    ) -> None:
        self._predecessor = predecessor
        self._pods = pods
        self._records = records
        self._runtime = runtime
        self._executor = executor
        self._report = report
        self._global_namespaces = global_namespaces

    def take_over(self, key: PodKey) -> float | None:
        """Returns None when the pod may be reconciled, else the seconds until another try: it cannot be told yet."""
        pod, left = self._pods.get(key), self._predecessor.of(key)
        if pod is None or not left:
            return None
        desired = read_annotation(pod.networks, pod.key.namespace, self._global_namespaces)
        try:
            sandbox = self._runtime.find_sandbox(key)
            settled = [self._take_over(pod, desired, sandbox, each) for each in left]
        except PodagentError as error:
            self._report.waiting(pod, error)
            return _RETRY_SECONDS
        if all(settled):
            self._predecessor.settled(key)
        return None

    def _take_over(self, pod: Pod, desired: Desired, sandbox: Sandbox, left: Inherited) -> bool:
        """Whether nothing is left to be done about it; what is faulty is told, tried again, and stops nothing else."""
        attachment = _attachment(left, desired)
        known = any(record.attachment.ifname == attachment.ifname for record in self._records.of(pod.key))
        # With a sandbox went all that was attached in it.
        if known or sandbox.netns is None or left.sandbox_id != sandbox.id:
            return True
        try:
            record = self._executor.inherit(pod, attachment, sandbox, complete=left.complete)
        except InputError as error:
            self._report.waiting(pod, error)
            return False
        self._report.inherited(record)
        return True


def _attachment(left: Inherited, desired: Desired) -> Attachment:
    """As the annotation has it, if that asks for the same: it may also tell the definition's namespace."""
    ifname = interface_name(left.network)
    same = (wanted for wanted in desired.attachments if (wanted.ifname, wanted.mac) == (ifname, left.mac))
    return next(same, Attachment(left.network, ifname, mac=left.mac))
