"""A PodWatch on a scripted API server, in a world where waiting turns a clock instead of taking time."""

from __future__ import annotations

import json
import random
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from podagent.errors import ApiError
from podagent.kube.watch import Pace, PodWatch
from podagent.model import Pod

NODE = "node1"
LASTING = 6.0
"""Seconds after which a watch has lasted, by the default `Pace`."""

Json = dict[str, Any]
Happening = bytes | float | Exception | Callable[[], None]
"""Within a watch: a line, seconds that pass, an error, or anything else."""
Answer = Json | list[Happening] | Exception
"""To one request: a page of a list, what happens in a watch, or an error."""


class TurningClock(threading.Event):
    """A stop event whose waits turn a clock instead of taking time."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.waits: list[float] = []

    def __call__(self) -> float:
        return self.now

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout or 0.0)
        self.now += timeout or 0.0
        return self.is_set()


class ScriptedStream:
    """Stands in for LineStream."""

    def __init__(self, happenings: Iterable[Happening], clock: TurningClock) -> None:
        self._happenings = happenings
        self._clock = clock
        self.aborted = False

    def __enter__(self) -> ScriptedStream:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __iter__(self) -> Iterator[bytes]:
        for happening in self._happenings:
            if isinstance(happening, Exception):
                raise happening
            if isinstance(happening, bytes):
                yield happening
            elif isinstance(happening, float):
                self._clock.now += happening
            else:
                happening()

    def abort(self) -> None:
        self.aborted = True


class ScriptedApi:
    """Stands in for KubeApi: each request takes the next answer of the script. A request too many sets `stop`."""

    patience_s = 30.0

    def __init__(self, script: Iterable[Answer], clock: TurningClock) -> None:
        self._script = deque(script)
        self._clock = clock
        self.server = "https://one"
        self.requests: list[str] = []
        self.queries: list[dict[str, str]] = []
        self.streams: list[ScriptedStream] = []
        self.reload: Callable[[], None] = lambda: self.requests.append("reload")

    def then(self, *answers: Answer) -> None:
        """The script goes on with these."""
        self._script.extend(answers)

    def get(self, path: str, query: Iterable[tuple[str, str]]) -> Json:
        asked = dict(query)
        page = self._answer(f"list after {asked['continue']}" if "continue" in asked else "list", asked)
        assert isinstance(page, dict), "the script has a watch here"
        return page

    def stream(self, path: str, query: Iterable[tuple[str, str]], read_timeout_s: float) -> ScriptedStream:
        asked = dict(query)
        happenings = self._answer(f"watch from {asked['resourceVersion']}", asked)
        assert isinstance(happenings, list), "the script has a list here"
        self.streams.append(ScriptedStream(happenings, self._clock))
        return self.streams[-1]

    def close(self) -> None:
        self.requests.append("close idle")

    def _answer(self, request: str, query: dict[str, str]) -> Json | list[Happening]:
        if not self._script:
            self._clock.set()
            raise ApiError("the script has ended")
        self.requests.append(request)
        self.queries.append(query)
        answer = self._script.popleft()
        if isinstance(answer, Exception):
            raise answer
        return answer


class KnownPods:
    """A PodSink that keeps a journal."""

    def __init__(self) -> None:
        self.journal: list[str] = []

    def replace(self, pods: Iterable[Pod]) -> None:
        self.journal.append(" ".join(["all:", *(pod.key.name for pod in pods)]))

    def upsert(self, pod: Pod) -> None:
        self.journal.append(f"there: {pod.key.name}")

    def remove(self, pod: Pod) -> None:
        self.journal.append(f"gone: {pod.key.name}")


class Beats:
    """A Beat that keeps what it was told; None for idle."""

    def __init__(self) -> None:
        self.told: list[float | None] = []

    def working(self, allowance_s: float) -> None:
        self.told.append(allowance_s)

    def idle(self) -> None:
        self.told.append(None)


class World:
    """A watch and all that it touches."""

    def __init__(self, *script: Answer, pace: Pace | None = None) -> None:
        self.stop = TurningClock()
        self.api = ScriptedApi(script, self.stop)
        self.pods = KnownPods()
        self.beats = Beats()
        self.watch = PodWatch(
            self.api,  # type: ignore[arg-type]
            NODE,
            self.pods,
            self.beats,
            rng=random.Random(1),
            clock=self.stop,
            pace=pace,
        )

    def run(self) -> list[str]:
        """Until the script has ended; the requests that were made."""
        self.watch.run(self.stop)
        return self.api.requests

    @property
    def waits(self) -> list[float]:
        return self.stop.waits


def page(*names: str, version: str = "1", more: str = "") -> Json:
    """A page of a list; `more`: the token that continues it."""
    items = [{"metadata": {"namespace": "default", "name": name}} for name in names]
    return {"kind": "PodList", "metadata": {"resourceVersion": version, "continue": more}, "items": items}


def line(kind: str, name: str, version: str) -> bytes:
    """An event about a pod; a bookmark has no name."""
    metadata = {"namespace": "default", "name": name, "resourceVersion": version}
    return json.dumps({"type": kind, "object": {"metadata": metadata}}).encode()


def error_line(code: int, message: str) -> bytes:
    return json.dumps({"type": "ERROR", "object": {"kind": "Status", "code": code, "message": message}}).encode()
