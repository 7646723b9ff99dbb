"""A pod has short turns, reads its desired state again between them, and cannot hold workers with what times out."""

from __future__ import annotations

import pytest

from podagent.errors import PluginTimeout
from podagent.model import Operation
from unit.bench import POD, Bench
from unit.factory import attachment


@pytest.fixture
def node() -> Bench:
    return Bench()


def slow(node: Bench, seconds: float) -> None:
    """Every ADD takes that long."""

    def take() -> None:
        node.now += seconds

    node.after_add = take


def test_a_turn_ends_after_a_slow_step_and_the_next_one_goes_on(node: Bench) -> None:
    slow(node, 1)
    node.run("red", "green", "blue")
    assert (node.look(), node.done()) == (0, {"red"})
    assert (node.look(), node.done()) == (0, {"red", "green"})
    assert (node.look(), node.done()) == (None, {"red", "green", "blue"})


def test_networks_that_fail_slowly_keep_no_other_one_waiting(node: Bench) -> None:
    bad = [f"bad{number}" for number in range(7)]
    node.faults.add_fails = dict.fromkeys(bad, "before")
    node.before_add = lambda: setattr(node, "now", node.now + 1)
    node.run(*bad, "good")
    for _ in range(8):
        node.look()
    assert node.done() == {"good"}


def test_each_network_that_hangs_delays_another_one_by_one_add_and_one_del_at_most(node: Bench) -> None:
    bad, seconds = ["bad0", "bad1", "bad2"], 5.0
    node.faults.add_fails, node.faults.delete_fails = dict.fromkeys(bad, "link left"), set(bad)
    node.before_add = lambda: setattr(node, "now", node.now + seconds)
    node.before_delete = lambda _: setattr(node, "now", node.now + seconds)
    node.run(*bad, "good")
    while not node.done():
        wait = node.fails()
        node.now += wait
    assert node.commands("good") == ["ADD"]
    assert node.now <= len(bad) * 2 * seconds + seconds


def test_quick_steps_share_a_turn(node: Bench) -> None:
    slow(node, 0.02)
    node.attached("red", "green", "blue")
    assert node.done() == {"red", "green", "blue"}


def test_a_step_that_is_no_longer_wanted_is_not_begun(node: Bench) -> None:
    node.run("red", "green", "blue")
    node.after_add = lambda: node.want("red")
    assert node.look() == 0
    node.after_add = lambda: None
    assert node.look() is None
    assert node.commands() == ["ADD"]


def test_a_network_that_timed_out_waits_while_the_slow_lane_is_full(node: Bench) -> None:
    def time_out() -> None:
        raise PluginTimeout("bridge", "exceeded its time limit")

    node.before_add = time_out
    node.run("red")
    node.now += node.fails()
    begun = len(node.operations)
    with node.executor.admitted(POD, attachment("red")) as may_run:
        assert may_run
        assert node.look() == 1
    assert len(node.operations) == begun, "nothing was run, and nothing is reported"
    assert {subject.operation for subject in node.attempts.snapshot()[POD]} == {Operation.ATTACH}


def test_a_link_that_the_pod_keeps_deleting_is_made_ever_less_often(node: Bench) -> None:
    node.attached("red")
    for _ in range(50):
        node.link_vanishes(POD, "red")
        node.look(verify=True)
        node.now += 1
    assert node.commands().count("ADD") < 10
    node.now += 300
    node.look(verify=True)
    assert set(node.links_of(POD)) != set()
