"""The cases of any node on the stand-in one, whether the agent runs the networks' plugins or kactus does."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest

from cases.hotplug import *  # noqa: F403
from functional.bed import Bed
from functional.ways import BOTH_RUNTIMES, BOTH_WAYS
from lab.agent import Agent
from lab.networks import Networks
from lab.node import Pod

pytestmark = [pytest.mark.root, BOTH_WAYS, BOTH_RUNTIMES]


class StandInPods(NamedTuple):
    make: Callable[..., Pod]


@pytest.fixture
def pods(bed: Bed) -> StandInPods:
    return StandInPods(bed.node.pod)


@pytest.fixture
def networks(bed: Bed) -> Networks:
    return bed.networks


@pytest.fixture
def agent(bed: Bed) -> Callable[[], Agent]:
    return lambda: bed.agent
