"""An agent at work on the model of a node: `Executor`, `Reconciler` and `Inheritance` with the same collaborators."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from podagent.act.executor import Executor
from podagent.act.outcomes import Outcome, Outcomes
from podagent.act.reconciler import Reconciler, unwatched
from podagent.act.slowlane import SlowLane
from podagent.act.undoing import Undoing
from podagent.decide.attempts import Attempts
from podagent.decide.dialects.kaloom_names import interface_name
from podagent.foreign import Json
from podagent.model import Invocation, Phase, PodKey, Record, Target
from podagent.takeover.inheritance import Inheritance
from podagent.takeover.kaloom import Inherited
from unit.factory import annotation, attachment, key, pod
from unit.nodemodel import Node, Report

POD = key()


class Former:
    """The agent before this one, which attached networks to one pod."""

    def __init__(self) -> None:
        self.left: list[Inherited] = []

    def is_empty(self) -> bool:
        return not self.left

    def of(self, pod: PodKey) -> list[Inherited]:
        return self.left

    def settled(self, pod: PodKey) -> None:
        self.left = []


class Bench(Node):
    """The node with the agent. Its clock stands still, and a test can step in before and after each plugin run."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.stop = False
        self.report = Report()
        self.former = Former()
        self.awaited: list[tuple[str, str]] = []
        self.deleted: list[Target] = []
        self.before_add: Callable[[], object] = lambda: None
        self.after_add: Callable[[], object] = lambda: None
        self.before_delete: Callable[[Target], object] = lambda target: None
        self.after_delete: Callable[[], object] = lambda: None
        self.delete_does_nothing = False
        self.start_agent()

    def start_agent(self) -> None:
        """A new process of the agent: only the disk and the pins have outlived the last one."""
        self.read_records()
        self.keep_only_pins_of_records()
        self.attempts = Attempts(lambda: self.now, random.Random(1))
        outcomes = Outcomes(self.attempts, [self.report], lambda: self.now)
        lane = SlowLane(1, lambda: self.now)
        boot, ends = self.boot_id, self.ends
        undoing = Undoing(self, ends, self, self, self._await_orphans, boot, plugin_timeout_s=5)
        self.executor = Executor(self, ends, self, self, self, undoing, boot, lane, plugin_timeout_s=5)
        acting = (self, self, self, self, self.executor, outcomes, ("default",))
        self.reconciler = Reconciler(*acting, stopping=lambda: self.stop, clock=lambda: self.now)
        self.inheritance = Inheritance(self.former, *acting)

    def _await_orphans(self, container_id: str, ifname: str, timeout_s: float) -> None:
        self.awaited.append((container_id, ifname))

    # --- what a test does

    def run(self, *networks: str | dict[str, Any], who: PodKey = POD, **changes: Any) -> None:
        """A pod runs that wants these networks (names or entries)."""
        self.pods[who] = pod(annotation(*networks), key=who, **changes)
        self.start_sandbox(who)

    def attached(self, *networks: str | dict[str, Any], **changes: Any) -> None:
        """A pod runs that has these networks."""
        self.run(*networks, **changes)
        self.look()

    def want(self, *networks: str | dict[str, Any]) -> None:
        """The pod's annotation is changed."""
        self.change(annotations=pod(annotation(*networks)).annotations)

    def change(self, **changes: Any) -> None:
        """Fields of the pod are changed."""
        self.pods[POD] = self.pods[POD]._replace(**changes)

    def former_agent_attached(self, *networks: str, complete: bool = True) -> None:
        """A pod runs to which the agent before this one attached these networks."""
        self.run()
        for network in networks:
            self.kubelet_attaches(POD, network)
            left = Inherited(Path(), "default", "web", attachment(network), self.running[POD].id, complete)
            self.former.left.append(left)

    def look(self, who: PodKey = POD, *, verify: bool = False) -> float | None:
        return self.reconciler.reconcile(who, verify=verify)

    def take_over_and_look(self) -> float | None:
        reconcile = self.inheritance.wrap(lambda pod, expect: self.reconciler.reconcile(pod, expect=expect))
        return reconcile(POD, unwatched)

    def fails(self, who: PodKey = POD) -> float:
        """The agent looks and is not done. Returns the seconds until the next look."""
        wait = self.look(who)
        assert wait is not None
        return wait

    def fail_often(self, times: int = 8) -> None:
        """The agent has failed so often that its next try is minutes away."""
        for _ in range(times):
            self.now += self.fails()
        assert self.fails() > 60

    # --- what a test sees

    def done(self) -> set[str]:
        """The networks that the pod is recorded to have."""
        return {each.attachment.network for each in self.of(POD) if each.phase is Phase.ATTACHED}

    def record(self, network: str = "red") -> Record:
        return self.disk[POD, interface_name(network)]

    def commands(self, network: str | None = None) -> list[str]:
        """The plugin runs, or those for one network."""
        ifname = interface_name(network) if network else None
        return [command for command, _, name in self.operations if ifname in (None, name)]

    def is_clean(self) -> bool:
        """Nothing is left of the pod."""
        return not (self.disk or self.leases or self.links_of(POD))

    # --- what plugins do, with the test in between

    def add(self, call: Invocation, target: Target) -> Json:
        self.before_add()
        result = super().add(call, target)
        self.after_add()
        return result

    def delete(self, call: Invocation, target: Target, added: Json | None) -> None:
        self.deleted.append(target)
        self.before_delete(target)
        if not self.delete_does_nothing:
            super().delete(call, target, added)
        self.after_delete()


def networks_of(outcomes: Collection[Outcome]) -> list[str]:
    """The networks that the outcomes are about, in order."""
    return [outcome.attachment.network for outcome in outcomes if outcome.attachment]
