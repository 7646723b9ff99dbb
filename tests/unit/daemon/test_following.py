"""The pods are followed once there are credentials, and until then the agent reports why it waits."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

from podagent.daemon.following import Following
from podagent.errors import KubeconfigError
from podagent.kube.api import KubeApi
from podagent.kube.watch import PodWatch


class Api(KubeApi):
    """Finds no credentials as often as there are faults."""

    def __init__(self, faults: Sequence[str]) -> None:
        self.faults = list(faults)

    def reload(self) -> None:
        if self.faults:
            raise KubeconfigError(self.faults.pop(0))


class Watch(PodWatch):
    """Ends at once."""

    def __init__(self) -> None:
        self.runs = 0

    def run(self, stop: threading.Event) -> None:
        self.runs += 1


class Bench:
    def __init__(self, *faults: str) -> None:
        self.stop = threading.Event()
        self.shown: list[str] = []
        self.watch = Watch()
        self.following = Following(Api(faults), self.watch, self._show, poll_s=0)

    def _show(self) -> None:
        self.shown.append(self.following.waiting_for)

    def run(self) -> int:
        """How often the watch was begun."""
        self.following.run(self.stop)
        return self.watch.runs


def test_with_credentials_the_pods_are_followed_at_once() -> None:
    bench = Bench()
    assert (bench.run(), bench.shown) == (1, [])


def test_the_reason_for_waiting_is_shown_when_it_changes_and_when_it_is_gone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bench = Bench("missing", "missing", "malformed")
    assert bench.run() == 1
    assert bench.shown == ["missing", "malformed", ""]
    assert [record.getMessage() for record in caplog.records] == [
        "waiting for credentials: missing",
        "waiting for credentials: malformed",
    ]


def test_the_end_of_the_agent_ends_the_waiting_too() -> None:
    bench = Bench("missing")
    bench.stop.set()
    assert bench.run() == 0
