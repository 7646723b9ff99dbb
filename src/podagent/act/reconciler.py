"""Reconciles one pod: desired state, records, plan, operations, and the time of the next pass.

Level-triggered: the only input is a pod's key, repeated calls are harmless, and the reason of a call does not matter.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection
from typing import NamedTuple

from podagent.act.executor import Executor, require_own_network
from podagent.act.outcomes import Outcome, Outcomes, PodState, Result
from podagent.act.ports import Expect, Networks, Pods, Records, Runtime
from podagent.decide.attempts import Subject
from podagent.decide.candidates import candidates
from podagent.decide.plan import Plan, Step, plan_gone, plan_pod
from podagent.decide.wanted import wanted_by
from podagent.errors import CniError, NetnsUnavailable, PodagentError, SandboxNotFound
from podagent.model import Attachment, Operation, Pod, PodKey, Record, Sandbox

LOOKUP_ALLOWANCE_S = 250.0
"""Upper bound for all lookups in the runtime and the API server before an operation: above the sum of their limits."""

_STATIC_POD_RECHECK_S = 10.0
# Then the pod goes to the end of the queue, and its desired state is read again before the next step.
_TURN_S = 0.05
_AT_ONCE = 0.0
# While the namespace has failed too often, or the slow lane is full.
_RECHECK_S = 1.0


def unwatched(seconds: float) -> None:
    """An `Expect` without a watchdog."""


class _Pass(NamedTuple):
    """The input of one pass. `pod` is None if it is gone; `sandbox` is None if there is none or none is needed."""

    key: PodKey
    pod: Pod | None
    sandbox: Sandbox | None
    expect: Expect


_NOT_LOOKED_FOR: tuple[None, frozenset[str], None] = None, frozenset(), None


class _Done(NamedTuple):
    """A step that succeeded."""

    result: Result
    record: Record
    remark: str = ""


class Reconciler:
    """Brings one pod at a time to its desired state. At most one call per pod at a time; different pods in parallel."""

    def __init__(
        self,
        pods: Pods,
        records: Records,
        runtime: Runtime,
        networks: Networks,
        executor: Executor,
        outcomes: Outcomes,
        global_namespaces: Collection[str],
        stopping: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pods = pods
        self._records = records
        self._runtime = runtime
        self._networks = networks
        self._executor = executor
        self._outcomes = outcomes
        self._global_namespaces = global_namespaces
        self._stopping = stopping
        self._clock = clock

    def reconcile(self, key: PodKey, *, verify: bool = False, expect: Expect = unwatched) -> float | None:
        """Executes the operations that are due, until its turn is over.

        Args:
            key: the pod.
            verify: also check that recorded interfaces exist in the pod, and re-attach those that do not. A pass that
                needs another one must be repeated with it.
            expect: called before each step with its time limit in seconds.

        Returns:
            Seconds until the next pass is needed, 0 if operations are due still, None if the pod needs none.
        """
        pod, records = self._pods.get(key), self._records.of(key)
        if pod is None or pod.ended:
            wait = self._clean_up(_Pass(key, pod, None, expect), records)
        else:
            wait = self._converge(pod, records, verify, expect)
        self._outcomes.settled(key, PodState(pod, self._records.of(key), wait))
        return wait

    def _converge(self, pod: Pod, records: list[Record], verify: bool, expect: Expect) -> float | None:
        desired = wanted_by(pod, self._global_namespaces)
        recorded = [record.attachment for record in records]
        self._outcomes.begin(pod, desired.problems, _ifnames(desired.attachments), _ifnames(recorded))
        if not desired.attachments:
            self._outcomes.found(pod.key, Operation.FIND)  # nobody looks for it any more
        if not desired.attachments and not records:
            return None
        sandbox, ended, wait = self._find_sandbox(pod, records) if desired.attachments else _NOT_LOOKED_FOR
        drifted, look_again = self._drifted(pod, sandbox, records, verify)
        plan = plan_pod(desired, records, sandbox, drifted, ended)
        return _sooner(_sooner(wait, look_again), self._carry_out(plan, _Pass(pod.key, pod, sandbox, expect)))

    def _clean_up(self, now: _Pass, records: list[Record]) -> float | None:
        wait = self._may_exist(now.key, records) if records and now.pod is None else None
        if wait is None:
            wait = self._carry_out(plan_gone(records), now)
        if wait is None:
            self._outcomes.forget(now.key)
        return wait

    def _may_exist(self, key: PodKey, records: list[Record]) -> float | None:
        """Seconds until an absent pod is looked at again; None if it is gone: its sandbox ended, or it is confirmed."""
        if not self._may_run(key):
            return None
        if any(record.static for record in records):
            return _STATIC_POD_RECHECK_S  # only the mirror pod is gone: the kubelet creates a new one
        try:
            self._pods.confirm_gone(key)
        except PodagentError as error:
            waiting = Outcome(key, None, Operation.CONFIRM, Result.WAITING, error=error)
            return self._outcomes.failed(waiting, aim=None)
        return None

    def _may_run(self, key: PodKey) -> bool:
        try:
            self._runtime.find_sandbox(key)
        except SandboxNotFound:
            return False
        except PodagentError:
            return True  # unknown
        return True

    def _find_sandbox(self, pod: Pod, records: list[Record]) -> tuple[Sandbox | None, frozenset[str], float | None]:
        """The sandbox; without one, the interfaces of an earlier one that has ended, and the seconds until a retry."""
        nothing: frozenset[str] = frozenset()
        try:
            sandbox = self._runtime.find_sandbox(pod.key)
        except PodagentError as error:
            failed = Outcome(pod.key, pod, Operation.FIND, Result.WAITING, error=error)
            ended = self._ended(records) if isinstance(error, SandboxNotFound) else nothing
            return None, ended, self._outcomes.failed(failed, aim=None)
        self._outcomes.found(pod.key, Operation.FIND)
        return sandbox, nothing, None

    def _ended(self, records: list[Record]) -> frozenset[str]:
        try:
            return self._executor.ended(records)
        except PodagentError:
            return frozenset()  # unknown: detach nothing

    def _drifted(
        self, pod: Pod, sandbox: Sandbox | None, records: list[Record], verify: bool
    ) -> tuple[frozenset[str], float | None]:
        """The interfaces to attach again, and the seconds until a failed look at them is repeated."""
        if sandbox is None or not verify:
            return frozenset(), None
        if wait := self._outcomes.wait_for(pod.key, Subject(Operation.VERIFY), None):
            return frozenset(), wait
        try:
            drifted = self._executor.drifted(sandbox, records)
        except NetnsUnavailable as error:
            failed = Outcome(pod.key, pod, Operation.VERIFY, Result.FAILED, error=error)
            return frozenset(), self._outcomes.failed(failed, aim=None)
        except PodagentError:
            return frozenset(), None  # the sandbox is ending, and its end triggers the next pass
        self._outcomes.found(pod.key, Operation.VERIFY)
        waits = {record.attachment.ifname: self._repair_in(pod, record) for record in drifted}
        due = frozenset(ifname for ifname, wait in waits.items() if not wait)
        return due, min(filter(None, waits.values()), default=None)

    def _repair_in(self, pod: Pod, record: Record) -> float:
        """Seconds until a vanished link may be made again: a pod that keeps deleting it has it made ever less often."""
        subject = Subject(Operation.VERIFY, record.attachment.ifname)
        if self._outcomes.may_repeat(pod.key, subject):
            drift = Outcome(pod.key, pod, Operation.VERIFY, Result.DRIFTED, record.attachment, record)
            self._outcomes.drifted(drift)
            return 0.0
        return self._outcomes.wait_for(pod.key, subject, None)

    def _carry_out(self, plan: Plan, now: _Pass) -> float | None:
        """Executes the steps that are due. Returns the seconds until the next pass, None if none is needed."""
        waits: dict[str, float] = {}
        turn: float | None = None
        for step in self._in_turn(plan, now.key):
            ifname = step.attachment.ifname
            if ifname in waits:
                continue  # do not attach over an interface that could not be detached
            wait: float | None = self._wait_for(step, now)
            if wait == 0 and turn is not None and self._is_over(turn, now):
                return _AT_ONCE
            if wait == 0 and not self._stopping():
                if not self._outcomes.admit(now.key, step.operation):
                    return min([*waits.values(), _RECHECK_S])  # of the steps, only attaches are left
                turn = self._clock() if turn is None else turn
                wait = self._try(step, now)
            if wait is not None:
                waits[ifname] = wait
        soonest = min(waits.values(), default=math.inf)
        return None if soonest == math.inf else soonest

    def _in_turn(self, plan: Plan, key: PodKey) -> list[Step]:
        """Interfaces that have failed last, by the time of their retry; of the others, detaches before attaches."""

        def turn(step: Step) -> tuple[float, bool]:
            # An attach must not precede the detach of the same interface: both wait for the later of their retries.
            tried = (Subject(each, step.attachment.ifname) for each in (Operation.DETACH, Operation.ATTACH))
            return max(self._outcomes.not_before(key, each) for each in tried), step.record is None

        return sorted(plan, key=turn)

    def _wait_for(self, step: Step, now: _Pass) -> float:
        """Seconds until the step may be tried, 0 for now, infinite for never."""
        return self._outcomes.wait_for(now.key, Subject(step.operation, step.attachment.ifname), _aim(step, now))

    def _is_over(self, turn: float, now: _Pass) -> bool:
        """Whether a turn that began at `turn` is over, or the pod has changed meanwhile."""
        return self._clock() - turn > _TURN_S or self._pods.get(now.key) is not now.pod

    def _try(self, step: Step, now: _Pass) -> float | None:
        """Executes a step. Returns the seconds until the retry, infinite for none, and None after success."""
        operation, attachment, aim = step.operation, step.attachment, _aim(step, now)
        now.expect(LOOKUP_ALLOWANCE_S)
        started = self._clock()
        try:
            with self._executor.admitted(now.key, attachment) as may_run:
                if not may_run:
                    self._outcomes.refund(now.key, operation)
                    return _RECHECK_S
                done = self._detach(step.record, now) if step.record else self._attach(attachment, now)
        except Exception as error:  # one failing attachment, even because of a bug, must not block the others
            seconds = self._clock() - started
            failed = Outcome(now.key, now.pod, operation, Result.FAILED, attachment, step.record, error, seconds)
            needs = candidates(attachment.definition, now.key.namespace, self._global_namespaces)
            return self._outcomes.failed(failed, aim, needs, started)
        seconds = self._clock() - started
        outcome = Outcome(now.key, now.pod, operation, done.result, attachment, done.record, None, seconds)
        self._outcomes.succeeded(outcome._replace(remark=done.remark))
        return None

    def _attach(self, attachment: Attachment, now: _Pass) -> _Done:
        pod, sandbox = require_own_network(now.pod, now.sandbox)
        via, call = self._networks.resolve(pod, attachment, sandbox)
        now.expect(self._executor.allowance(call))
        record = self._executor.attach(pod, attachment, sandbox, via, call)
        if record.adopted:
            return _Done(Result.ADOPTED, record)
        return _Done(Result.ATTACHED, record, _unseen_by(sandbox.guest))

    def _detach(self, record: Record, now: _Pass) -> _Done:
        now.expect(self._executor.allowance(record.invocation))
        try:
            remark = self._executor.detach(record)
        except CniError:
            now.expect(LOOKUP_ALLOWANCE_S)
            corrected = self._networks.corrected(record)
            if corrected is None:
                raise
            now.expect(self._executor.allowance(corrected))
            remark = self._executor.detach(record, corrected)
        return _Done(Result.DETACHED, record, remark)


def _aim(step: Step, now: _Pass) -> object:
    """The state that a step is to bring about. A change resets the backoff."""
    if step.record is not None:
        # A pod that is now gone, or an interface that is wanted again, does not wait for the old backoff.
        return step.record.sequence, now.pod is None, step.again
    # Includes the progress of the kubelet: an attach that waited for it is retried at once.
    return step.attachment, now.sandbox, now.pod and now.pod.phase


def _unseen_by(guest: str) -> str:
    """A remark about an interface that this guest may not see; "" without a guest."""
    if not guest:
        return ""
    return (
        f"the pod may not see it, because {guest} reads a sandbox's interfaces only when it starts: "
        "have kactus attach the network at the pod's start, or use another RuntimeClass"
    )


def _ifnames(attachments: Collection[Attachment]) -> frozenset[str]:
    return frozenset(attachment.ifname for attachment in attachments)


def _sooner(one: float | None, other: float | None) -> float | None:
    return other if one is None else one if other is None else min(one, other)
