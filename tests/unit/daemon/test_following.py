"""The pods are followed once there are credentials, and until then the agent reports why it waits."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

from podagent.daemon.following import Following, once
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


@pytest.mark.parametrize(
    ("faults", "shown"),
    [([], []), (["missing", "missing", "malformed"], ["missing", "malformed", ""])],
    ids=["there are credentials", "they come late"],
)
def test_the_pods_are_followed_once_there_are_credentials_and_changes_of_the_reason_for_waiting_are_shown(
    caplog: pytest.LogCaptureFixture, faults: list[str], shown: list[str]
) -> None:
    bench = Bench(*faults)
    assert (bench.run(), bench.shown) == (1, shown)
    assert caplog.messages == [f"waiting for credentials: {reason}" for reason in shown if reason]


def test_the_end_of_the_agent_ends_the_waiting_too() -> None:
    bench = Bench("missing")
    bench.stop.set()
    assert bench.run() == 0


def test_a_body_that_needs_the_pods_begins_once_they_are_listed() -> None:
    ready, began = threading.Event(), threading.Event()
    thread = threading.Thread(target=once(ready, lambda stop: began.set()), args=(threading.Event(),), daemon=True)
    thread.start()
    assert not began.is_set()
    ready.set()
    thread.join(5)
    assert began.is_set()
