"""The pods are followed once there are credentials, and until then the agent says what it waits for."""

from __future__ import annotations

import threading

import pytest

from podagent.daemon.following import Following
from podagent.errors import KubeconfigError


class Bench:
    """An API that finds no credentials a number of times, and a watch that ends at once."""

    def __init__(self, *faults: str) -> None:
        self.faults = list(faults)
        self.stop = threading.Event()
        self.shown: list[str] = []
        self.followed = 0
        self.following = Following(self, self, lambda: self.shown.append(self.following.waiting_for), poll_s=0)

    def reload(self) -> None:
        if self.faults:
            raise KubeconfigError(self.faults.pop(0))

    def run(self, stop: threading.Event) -> None:
        assert stop is self.stop
        self.followed += 1


def test_with_credentials_the_pods_are_followed_at_once() -> None:
    bench = Bench()
    bench.following.run(bench.stop)
    assert (bench.followed, bench.shown) == (1, [])


def test_what_is_waited_for_is_told_when_it_changes_and_gone_when_it_came(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench("missing", "missing", "malformed")
    bench.following.run(bench.stop)
    assert bench.shown == ["missing", "malformed", ""]
    assert [record.getMessage() for record in caplog.records] == [
        "waiting for credentials: missing",
        "waiting for credentials: malformed",
    ]
    assert bench.followed == 1


def test_the_end_of_the_agent_ends_the_waiting_too() -> None:
    bench = Bench("missing")
    bench.stop.set()
    bench.following.run(bench.stop)
    assert bench.followed == 0
