from __future__ import annotations

import pytest

from podagent.act.slowlane import SlowLane
from podagent.errors import PluginError, PluginTimeout
from unit.factory import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def lane(clock: Clock) -> SlowLane:
    """Its plugins of ``slow`` and ``slower`` have timed out."""
    made = SlowLane(1, clock)
    for network in ("slow", "slower"):
        with pytest.raises(PluginTimeout), made.step(network):
            raise PluginTimeout(network, "exceeded its time limit")
    return made


def test_slow_networks_share_the_lane_and_others_do_not_need_it(lane: SlowLane) -> None:
    with lane.step("slow") as first, lane.step("slower") as second, lane.step("quick") as other:
        assert (first, second, other) == (True, False, True)
    with lane.step("slower") as free:
        assert free


@pytest.mark.parametrize("error", [None, PluginError("bridge", "no")])
def test_a_network_is_slow_until_a_step_succeeds(lane: SlowLane, error: Exception | None) -> None:
    try:
        with lane.step("slow"):
            if error:
                raise error
    except PluginError:
        pass
    with lane.step("slower"), lane.step("slow") as free:
        assert free is (error is None)


def test_a_network_is_not_slow_for_ever(lane: SlowLane, clock: Clock) -> None:
    clock.now = 1801
    with lane.step("slower"), lane.step("slow") as free:
        assert free


def test_only_so_many_networks_are_remembered(lane: SlowLane) -> None:
    for number in range(4096):
        with pytest.raises(PluginTimeout), lane.step(number):
            raise PluginTimeout("x", "exceeded its time limit")
    with lane.step(4095), lane.step("slow") as free:
        assert free
