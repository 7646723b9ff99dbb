"""One pod on one screen: what it wants, what is recorded, what to do about it, and when to look again.

Level-driven: called with a pod's key only, as often as anybody likes; it does not know, and must not ask, why.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Hashable
from typing import Protocol

from podagent.act.executor import Executor
from podagent.decide.backoff import Backoffs
from podagent.decide.dialects.kaloom import Desired, read_annotation
from podagent.decide.plan import Plan, plan_gone, plan_pod
from podagent.errors import NotYet, PodagentError, SandboxNotFound
from podagent.model import Attachment, Pod, PodKey, Record, Sandbox

_FINISHED = frozenset({"Succeeded", "Failed"})
_STATIC_POD_RECHECK = 10.0
_SANDBOX = ""  # the name of the backoff of looking it up, among those of interfaces


class Pods(Protocol):
    """The pods of the node, as the API server last described them."""

    def get(self, key: PodKey) -> Pod | None: ...


class RecordsOf(Protocol):
    """The part of the store that is read."""

    def of(self, pod: PodKey) -> list[Record]: ...


class Runtime(Protocol):
    """The container runtime."""

    def find_sandbox(self, pod: PodKey) -> Sandbox:
        """The newest running sandbox of a pod. Raises SandboxNotFound, RuntimeUnavailable."""


class Report(Protocol):
    """Where users read what happened."""

    def problems(self, pod: Pod, problems: Collection[str]) -> None: ...

    def waiting(self, pod: Pod, reason: PodagentError) -> None: ...

    def sandbox_found(self, pod: Pod) -> None: ...

    def keep_only(self, pod: PodKey, ifnames: Collection[str]) -> None: ...

    def drifted(self, pod: Pod, ifnames: Collection[str]) -> None: ...

    def attached(self, pod: Pod, record: Record, seconds: float) -> None: ...

    def detached(self, pod: Pod | None, record: Record, seconds: float) -> None: ...

    def attach_failed(self, pod: Pod, attachment: Attachment, error: Exception, retry_in: float) -> None: ...

    def detach_failed(self, pod: Pod | None, record: Record, error: Exception, retry_in: float) -> None: ...

    def forget(self, pod: PodKey) -> None: ...


class Reconciler:
    """Brings one pod at a time to its desired state. At most one call for a pod at any time; pods in parallel."""

    def __init__(
        self,
        pods: Pods,
        records: RecordsOf,
        runtime: Runtime,
        executor: Executor,
        report: Report,
        backoffs: Backoffs,
        global_namespaces: Collection[str],
        stopping: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pods = pods
        self._records = records
        self._runtime = runtime
        self._executor = executor
        self._report = report
        self._backoffs = backoffs
        self._global_namespaces = global_namespaces
        self._stopping = stopping
        self._clock = clock

    def reconcile(self, key: PodKey, *, verify: bool = False) -> float | None:
        """Does what can be done now.

        Args:
            key: the pod.
            verify: also look whether what is recorded as attached is really in the pod, and repair it.

        Returns:
            Seconds until another look is needed, None when nothing is left to do.
        """
        pod = self._pods.get(key)
        records = self._records.of(key)
        if pod is None or pod.phase in _FINISHED:
            return self._clean_up(key, pod, records)
        desired = read_annotation(pod.networks, pod.key.namespace, self._global_namespaces)
        self._report.problems(pod, desired.problems)
        self._keep_only(key, desired, records)
        if not desired.attachments and not records:
            return None
        sandbox, wait = self._find_sandbox(pod, desired)
        drifted = self._drifted(pod, sandbox, records) if verify else frozenset()
        plan = plan_pod(desired, records, sandbox, drifted)
        return _soonest([wait, *self._carry_out(key, pod, sandbox, plan)])

    def _keep_only(self, key: PodKey, desired: Desired, records: list[Record]) -> None:
        """What failed for something that is no longer asked for starts afresh should it be asked for again."""
        wanted = {attachment.ifname for attachment in desired.attachments}
        recorded = {record.attachment.ifname for record in records}
        self._backoffs.keep_only(key, {_SANDBOX, *wanted, *map(_del, recorded)})
        self._report.keep_only(key, wanted | recorded)

    def _clean_up(self, key: PodKey, pod: Pod | None, records: list[Record]) -> float | None:
        if any(record.static for record in records) and self._still_runs(key):
            return _STATIC_POD_RECHECK  # only the mirror object went: the kubelet makes a new one
        wait = _soonest(self._carry_out(key, pod, None, plan_gone(records)))
        if wait is None:
            self._backoffs.forget(key)
            self._report.forget(key)
        return wait

    def _still_runs(self, key: PodKey) -> bool:
        try:
            self._runtime.find_sandbox(key)
        except SandboxNotFound:
            return False
        except PodagentError:
            return True  # not known: then nothing is torn down
        return True

    def _find_sandbox(self, pod: Pod, desired: Desired) -> tuple[Sandbox | None, float | None]:
        if not desired.attachments:
            return None, None
        try:
            sandbox = self._runtime.find_sandbox(pod.key)
        except PodagentError as error:
            self._report.waiting(pod, error)
            return None, self._backoffs.failed(pod.key, _SANDBOX, "sandbox")
        self._backoffs.succeeded(pod.key, _SANDBOX)
        self._report.sandbox_found(pod)
        return sandbox, None

    def _drifted(self, pod: Pod, sandbox: Sandbox | None, records: list[Record]) -> frozenset[str]:
        try:
            drifted = self._executor.drifted(sandbox, records) if sandbox else frozenset()
        except PodagentError:
            return frozenset()  # the sandbox is ending; its end brings the next look
        if drifted:
            self._report.drifted(pod, drifted)
        return drifted

    def _carry_out(self, key: PodKey, pod: Pod | None, sandbox: Sandbox | None, plan: Plan) -> list[float | None]:
        wanted = {attachment.ifname: attachment for attachment in plan.attach}
        still_there: set[str] = set()
        waits: list[float | None] = []
        for record in plan.detach:
            # Whatever failed before, a pod that is gone may be cleaned up at once, and what is wanted again made anew.
            aim = (record.sequence, pod is None, wanted.get(record.attachment.ifname))
            waits.append(self._detach(key, pod, record, aim))
            if waits[-1] is not None:
                still_there.add(record.attachment.ifname)
        if pod is not None and sandbox is not None:
            free = (attachment for attachment in plan.attach if attachment.ifname not in still_there)
            waits.extend(self._attach(pod, attachment, sandbox) for attachment in free)
        return waits

    def _detach(self, key: PodKey, pod: Pod | None, record: Record, aim: Hashable) -> float | None:
        started = self._clock()

        def act() -> None:
            self._executor.detach(record)
            self._report.detached(pod, record, self._clock() - started)

        def failed(error: Exception, retry_in: float) -> None:
            self._report.detach_failed(pod, record, error, retry_in)

        return self._attempt(key, _del(record.attachment.ifname), aim, act, failed)

    def _attach(self, pod: Pod, attachment: Attachment, sandbox: Sandbox) -> float | None:
        started = self._clock()
        # With what the kubelet has got done: what had to wait for it is not waited for any longer.
        aim = (attachment, sandbox.id, pod.phase, sandbox.populated)

        def act() -> None:
            record = self._executor.attach(pod, attachment, sandbox)
            self._report.attached(pod, record, self._clock() - started)

        def failed(error: Exception, retry_in: float) -> None:
            if isinstance(error, NotYet):
                self._report.waiting(pod, error)
            else:
                self._report.attach_failed(pod, attachment, error, retry_in)

        return self._attempt(pod.key, attachment.ifname, aim, act, failed)

    def _attempt(
        self,
        key: PodKey,
        name: str,
        aim: Hashable,
        act: Callable[[], None],
        failed: Callable[[Exception, float], None],
    ) -> float | None:
        """Acts unless that failed a short while ago; returns the seconds until the next try, None after success."""
        wait = self._backoffs.remaining(key, name, aim)
        if wait > 0 or self._stopping():
            return wait
        try:
            act()
        except Exception as error:  # one failing attachment, even by a bug of ours, never stops another one
            retry_in = self._backoffs.failed(key, name, aim)
            failed(error, retry_in)
            return retry_in
        self._backoffs.succeeded(key, name)
        return None


def _del(ifname: str) -> str:
    """The name of the backoff of detaching an interface; attaching it has one of its own."""
    return f"{ifname}/DEL"


def _soonest(waits: list[float | None]) -> float | None:
    return min((wait for wait in waits if wait is not None), default=None)
