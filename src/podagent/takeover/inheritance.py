"""Takes over the attachments of the previous agent before the first reconciliation of a pod."""

from __future__ import annotations

from collections.abc import Collection

from podagent.act.executor import Executor
from podagent.act.outcomes import Outcome, Outcomes, Result
from podagent.act.ports import Expect, Inherited, Networks, Pods, Predecessor, Reconcile, Records, Runtime
from podagent.decide.desired import Desired
from podagent.decide.wanted import wanted_by
from podagent.errors import InputError, PodagentError
from podagent.model import Attachment, Operation, Pod, PodKey, Sandbox


class Inheritance:
    """Takes over pods. At most one call per pod at a time; different pods in parallel."""

    def __init__(
        self,
        predecessor: Predecessor,
        pods: Pods,
        records: Records,
        runtime: Runtime,
        networks: Networks,
        executor: Executor,
        outcomes: Outcomes,
        global_namespaces: Collection[str],
    ) -> None:
        self._predecessor = predecessor
        self._pods = pods
        self._records = records
        self._runtime = runtime
        self._networks = networks
        self._executor = executor
        self._outcomes = outcomes
        self._global_namespaces = global_namespaces

    def wrap(self, reconcile: Reconcile) -> Reconcile:
        """Wraps `reconcile`: it runs once the pod has been taken over."""
        if self._predecessor.is_empty():
            return reconcile

        def take_over_first(key: PodKey, expect: Expect) -> float | None:
            wait = self.take_over(key)
            return reconcile(key, expect) if wait is None else wait

        return take_over_first

    def take_over(self, key: PodKey) -> float | None:
        """Takes over a pod. Returns None if it can be reconciled now, else the seconds until the next retry."""
        left = self._predecessor.of(key)
        pod = self._pods.get(key) if left else None
        if pod is None:
            return None
        desired = wanted_by(pod, self._global_namespaces)
        try:
            sandbox = self._runtime.find_sandbox(key)
            settled = [self._take_over(pod, desired, sandbox, each) for each in left]
        except PodagentError as error:
            waiting = Outcome(key, pod, Operation.TAKE_OVER, Result.WAITING, error=error)
            return self._outcomes.failed(waiting, aim=None)
        self._outcomes.found(key, Operation.TAKE_OVER)
        if all(settled):
            self._predecessor.settled(key)
        return None

    def _take_over(self, pod: Pod, desired: Desired, sandbox: Sandbox, left: Inherited) -> bool:
        """Returns whether the attachment is settled. A faulty one is reported and retried; it blocks no other."""
        attachment = _as_wanted(left.attachment, desired)
        known = any(record.attachment.ifname == attachment.ifname for record in self._records.of(pod.key))
        # The attachments of an earlier sandbox ended with it.
        if known or sandbox.netns is None or left.sandbox_id != sandbox.id:
            return True
        outcome = Outcome(pod.key, pod, Operation.TAKE_OVER, Result.INHERITED, attachment)
        try:
            via, call = self._networks.resolve(pod, attachment, sandbox)
            record = self._executor.inherit(pod, attachment, sandbox, via, call, complete=left.complete)
        except InputError as error:
            self._outcomes.failed(outcome._replace(error=error), aim=None)
            return False
        self._outcomes.succeeded(outcome._replace(record=record))
        return True


def _as_wanted(left: Attachment, desired: Desired) -> Attachment:
    """The wanted form of the attachment if it is the same: only that may specify the definition's namespace."""
    same = (wanted for wanted in desired.attachments if (wanted.ifname, wanted.mac) == (left.ifname, left.mac))
    return next(same, left)
