"""When to ask a runtime without events for the sandboxes of pods that wait for one, and what is news in its answer."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from podagent.model import PodKey
from podagent.runtimes.crimessages import ListedSandbox

# A pod that has waited for ten seconds is asked for every 250 ms, one that has waited for minutes every five seconds.
_SHARE_OF_THE_WAIT = 1 / 40
_LONGEST_S = 5.0


class Polling:
    """Times are seconds of one clock."""

    def __init__(self) -> None:
        self._since: dict[PodKey, float] = {}
        self._told: dict[PodKey, str] = {}
        self._asked = float("-inf")

    def due(self, waiting: Collection[PodKey], now: float) -> list[PodKey]:
        """The pods to ask for now, of those that wait; empty if it is too early. The newest sets the pace."""
        self._since = {pod: self._since.get(pod, now) for pod in waiting}
        self._told = {pod: sandbox for pod, sandbox in self._told.items() if pod in self._since}
        if not self._since:
            return []
        waited = now - max(self._since.values())
        if now - self._asked < min(_LONGEST_S, waited * _SHARE_OF_THE_WAIT):
            return []
        self._asked = now
        return list(self._since)

    def news(self, sandboxes: Iterable[ListedSandbox]) -> list[PodKey]:
        """The pods that wait no longer, each once for each sandbox: looking at that may fail for other reasons."""
        newest = {each.pod: each.id for each in sorted(sandboxes, key=lambda each: each.created)}
        news = {pod: newest[pod] for pod in self._since if newest.get(pod) not in (None, self._told.get(pod))}
        self._told.update(news)
        return list(news)
