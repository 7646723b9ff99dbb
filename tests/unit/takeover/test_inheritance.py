"""A network of the agent before this one is neither attached twice nor forgotten, on the model of a node."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from podagent.act.outcomes import Result
from podagent.decide.dialects.kaloom_names import interface_name
from podagent.model import Operation, Phase
from unit.bench import POD, Bench
from unit.nodemodel import Crash

RED, GREEN, BLUE = map(interface_name, ("red", "green", "blue"))


@pytest.fixture
def node() -> Bench:
    return Bench()


def test_a_network_that_is_still_wanted_is_taken_over_without_touching_it(node: Bench) -> None:
    node.former_agent_attached("red")
    node.want("red")
    assert node.take_over_and_look() is None
    assert [(record.phase, record.adopted) for record in node.of(POD)] == [(Phase.ATTACHED, True)]
    assert (node.commands(), node.former.left) == ([], [])


def test_a_network_that_was_taken_off_the_annotation_while_no_agent_ran_is_detached(node: Bench) -> None:
    node.former_agent_attached("red", "green")
    node.want("green")
    assert node.take_over_and_look() is None
    assert set(node.links_of(POD)) == {GREEN}
    assert {network for network, *_ in node.leases} == {"green"}


@pytest.mark.parametrize(
    ("complete", "entry", "commands"),
    [
        (True, {"name": "red", "namespace": "default"}, []),
        (True, {"name": "red", "ifMac": "02:00:00:00:00:01"}, ["DEL", "ADD"]),
        (False, {"name": "red"}, ["DEL", "ADD"]),
    ],
    ids=["names the namespace of its definition", "has another MAC address", "was half done"],
)
def test_it_is_made_again_only_if_it_is_not_as_wanted(
    node: Bench, complete: bool, entry: dict[str, Any], commands: list[str]
) -> None:
    node.former_agent_attached("red", complete=complete)
    node.want(entry)
    node.take_over_and_look()
    assert node.commands() == commands
    assert set(node.links_of(POD)) == {RED}


def test_the_networks_of_a_pod_that_is_gone_or_of_a_sandbox_that_has_ended_are_left_alone(node: Bench) -> None:
    node.former_agent_attached("red")
    wanting = dict(node.pods)
    node.pods.clear()
    assert node.take_over_and_look() is None
    assert (node.commands(), len(node.former.left)) == ([], 1)
    node.pods = wanting
    node.start_sandbox(POD)
    node.take_over_and_look()
    assert (node.commands(), node.former.left) == ([], [])


def test_waits_for_the_runtime_and_then_takes_over_and_detaches_what_no_annotation_asks_for(node: Bench) -> None:
    node.former_agent_attached("red")
    node.change(annotations={})
    node.faults.runtime_down = True
    assert node.take_over_and_look()
    assert node.former.left
    node.faults.runtime_down = False
    assert node.take_over_and_look() is None
    assert node.is_clean()


def test_one_that_cannot_be_taken_over_now_holds_up_no_other(node: Bench) -> None:
    node.former_agent_attached("red", "green")
    node.faults.undefined = {"red"}
    node.want("blue")
    node.take_over_and_look()
    assert [outcome.operation for outcome in node.report.those(Result.WAITING)] == [Operation.TAKE_OVER]
    assert set(node.links_of(POD)) == {RED, BLUE}
    node.faults.undefined = set()
    node.take_over_and_look()
    assert set(node.links_of(POD)) == {BLUE}


def test_a_crash_while_taking_over_forgets_nothing(node: Bench) -> None:
    node.former_agent_attached("red", "green")
    for steps in range(12):
        node.faults.crash_in = steps
        with contextlib.suppress(Crash):
            node.take_over_and_look()
    node.faults.crash_in = None
    node.take_over_and_look()
    assert node.is_clean()
