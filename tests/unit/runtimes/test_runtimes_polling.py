from __future__ import annotations

import pytest

from podagent.model import PodKey
from podagent.runtimes.crimessages import ListedSandbox
from podagent.runtimes.polling import Polling

ONE, TWO = PodKey("shop", "web-0", "uid-1"), PodKey("shop", "web-1", "uid-2")
TICK_S = 0.25


def listed(name: str, pod: PodKey = ONE, created: int = 1) -> ListedSandbox:
    return ListedSandbox(name, pod, True, created)


@pytest.fixture
def polling() -> Polling:
    return Polling()


def asked(polling: Polling, begin: float, end: float) -> int:
    """How often pod ONE is asked for in this time."""
    ticks = int((end - begin) / TICK_S)
    return sum(bool(polling.due([ONE], begin + tick * TICK_S)) for tick in range(ticks))


def test_a_pod_is_asked_for_at_every_tick_at_first_and_ever_less_often(polling: Polling) -> None:
    assert asked(polling, 0, 10) == 40
    assert 15 < asked(polling, 10, 20) < 30
    assert asked(polling, 20, 1000) > 0
    assert asked(polling, 1000, 1100) == 20


def test_a_pod_that_begins_to_wait_is_not_kept_by_one_that_has_waited_long(polling: Polling) -> None:
    asked(polling, 0, 1000)
    assert polling.due([ONE, TWO], 1000.0) == [ONE, TWO]
    assert polling.due([ONE, TWO], 1000.25) == [ONE, TWO]
    assert polling.due([], 1000.5) == []


def test_a_pod_is_news_once_for_each_of_its_sandboxes_while_it_waits(polling: Polling) -> None:
    polling.due([ONE], 0)
    assert polling.news([listed("s1"), listed("x", TWO)]) == [ONE]
    polling.due([ONE], 1)
    assert polling.news([listed("s1")]) == []
    assert polling.news([listed("s2", created=2), listed("s1")]) == [ONE]
    polling.due([], 2)
    polling.due([ONE], 3)
    assert polling.news([listed("s2")]) == [ONE]
