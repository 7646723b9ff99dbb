"""What the agent before this one attached is neither attached twice nor forgotten, on the model of a node."""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from podagent.act.executor import Executor
from podagent.act.outcomes import Outcomes, Result
from podagent.act.ports import Inherited
from podagent.act.reconciler import Reconciler
from podagent.decide.attempts import Attempts
from podagent.decide.dialects.kaloom_names import interface_name
from podagent.model import Attachment, Operation, Phase, PodKey
from podagent.takeover.inheritance import Inheritance
from unit.factory import attachment, key, pod
from unit.nodemodel import Crash, Node, SilentReport

KEY = key()
RED = interface_name("red")


@dataclass(frozen=True)
class Left:
    attachment: Attachment
    sandbox_id: str
    complete: bool = True


class Bench(Node):
    """A node on which another agent was at work, and ours in its place."""

    def __init__(self) -> None:
        super().__init__()
        self.left: list[Inherited] = []
        self.report = SilentReport()
        executor = Executor(self, self, self, lambda container_id, ifname, timeout_s: None, self.boot_id)
        outcomes = Outcomes(Attempts(lambda: 0.0, random.Random(1)), [self.report])
        self.inheritance = Inheritance(Predecessor(self), self, self, self, self, executor, outcomes, ("default",))
        reconciler = Reconciler(self, self, self, self, executor, outcomes, ("default",), clock=lambda: 0.0)
        self.reconcile = self.inheritance.ahead_of(lambda pod, expect: reconciler.reconcile(pod))

    def former_agent_attached(self, *networks: str, complete: bool = True) -> None:
        self.pods[KEY] = pod(key=KEY)
        sandbox = self.start_sandbox(KEY)
        for network in networks:
            self.kubelet_attaches(KEY, network)
            self.left.append(Left(attachment(network), sandbox.id, complete))

    def want(self, *networks: str, **more: str) -> None:
        annotation = json.dumps([{"name": network, **more} for network in networks])
        self.pods[KEY] = self.pods[KEY]._replace(networks=annotation)

    def look(self) -> float | None:
        return self.reconcile(KEY, lambda seconds: None)

    def commands(self) -> list[str]:
        return [command for command, _, _ in self.operations]


class Predecessor:
    def __init__(self, node: Bench) -> None:
        self.node = node

    def left_nothing(self) -> bool:
        return False

    def of(self, pod: PodKey) -> Sequence[Inherited]:
        return self.node.left

    def settled(self, pod: PodKey) -> None:
        self.node.left = []


@pytest.fixture
def node() -> Bench:
    return Bench()


def test_what_is_still_wanted_is_taken_over_without_touching_it(node: Bench) -> None:
    node.former_agent_attached("red")
    node.want("red")
    assert node.look() is None
    assert node.commands() == []
    assert [(record.phase, record.adopted) for record in node.of(KEY)] == [(Phase.ATTACHED, True)]
    assert node.left == []


def test_what_was_taken_off_the_annotation_while_no_agent_ran_is_detached(node: Bench) -> None:
    node.former_agent_attached("red", "green")
    node.want("green")
    assert node.look() is None
    assert node.links_of(KEY) == {interface_name("green")}
    assert {network for network, *_ in node.leases} == {"green"}


def test_the_last_network_of_a_pod_without_an_annotation_is_detached(node: Bench) -> None:
    node.former_agent_attached("red")
    node.look()
    assert (node.links_of(KEY), node.leases, node.of(KEY)) == (set(), set(), [])


def test_what_was_half_done_is_made_anew(node: Bench) -> None:
    node.former_agent_attached("red", complete=False)
    node.want("red")
    node.look()
    assert node.commands() == ["DEL", "ADD"]
    assert node.links_of(KEY) == {RED}


def test_an_entry_with_its_definitions_namespace_is_the_same_network(node: Bench) -> None:
    node.former_agent_attached("red")
    node.want("red", namespace="default")
    node.look()
    assert node.commands() == []


def test_another_mac_address_than_it_was_attached_with_is_made_anew(node: Bench) -> None:
    node.former_agent_attached("red")
    node.want("red", ifMac="02:00:00:00:00:01")
    node.look()
    assert node.commands() == ["DEL", "ADD"]


def test_what_was_attached_in_a_sandbox_that_has_ended_is_none_of_ours(node: Bench) -> None:
    node.former_agent_attached("red")
    node.start_sandbox(KEY)
    node.look()
    assert (node.commands(), node.left) == ([], [])


def test_waits_for_the_runtime_and_then_takes_over(node: Bench) -> None:
    node.former_agent_attached("red")
    node.faults.runtime_down = True
    assert node.look()
    assert node.left
    node.faults.runtime_down = False
    assert node.look() is None
    assert node.links_of(KEY) == set()


def test_one_that_cannot_be_taken_over_now_holds_up_no_other(node: Bench) -> None:
    node.former_agent_attached("red", "green")
    node.faults.undefined = {"red"}
    node.want("blue")
    node.look()
    assert [outcome.operation for outcome in node.report.those(Result.WAITING)] == [Operation.TAKE_OVER]
    assert node.links_of(KEY) == {RED, interface_name("blue")}
    node.faults.undefined = set()
    node.look()
    assert node.links_of(KEY) == {interface_name("blue")}


def test_a_crash_while_taking_over_forgets_nothing(node: Bench) -> None:
    node.former_agent_attached("red", "green")
    for steps in range(12):
        node.faults.crash_in = steps
        with contextlib.suppress(Crash):
            node.look()
    node.faults.crash_in = None
    node.look()
    assert (node.links_of(KEY), node.leases, node.of(KEY)) == (set(), set(), [])
