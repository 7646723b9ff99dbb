"""A PodWatch on a scripted API server, in a world where waiting turns a clock instead of taking time."""

from __future__ import annotations

import io
import json
import random
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from kubernetes.client import Configuration
from urllib3.response import HTTPResponse

from podagent.errors import ApiError
from podagent.foreign import Json
from podagent.kube.api import JSON, KubeApi, Query
from podagent.kube.stream import LineStream
from podagent.kube.watch import Pace, PodWatch
from podagent.model import Pod

NODE = "node1"
LASTING = 6.0
"""Seconds after which a watch has lasted, by the default `Pace`."""

Happening = bytes | float | Exception | Callable[[], None]
"""Within an answer: a piece of it, seconds that pass, an error, or anything else."""
Answer = Json | Sequence[Happening] | Exception
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


class ScriptedResponse(HTTPResponse):
    """A body that comes as scripted, and then ends; `calls`: how its connection was ended, in order."""

    def __init__(self, happenings: Iterable[Happening], clock: TurningClock | None = None) -> None:
        super().__init__(body=io.BytesIO(), preload_content=False)
        self._happenings = iter(happenings)
        self._clock = clock
        self.calls: list[str] = []

    def read1(self, amt: int | None = None, decode_content: bool | None = None) -> bytes:
        for happening in self._happenings:
            if isinstance(happening, bytes):
                return happening
            if isinstance(happening, Exception):
                raise happening
            if callable(happening):
                happening()
            elif self._clock:
                self._clock.now += happening
        return b""

    def shutdown(self) -> None:
        self.calls.append("shutdown")

    def close(self) -> None:
        self.calls.append("close")


class ScriptedApi(KubeApi):
    """Each request takes the next answer of the script. A request too many sets the clock, which ends a watch."""

    server = "https://one"

    def __init__(self, *script: Answer, clock: TurningClock | None = None) -> None:
        super().__init__(Configuration)
        self.clock = clock or TurningClock()
        self.script = deque(script)
        self.requests: list[str] = []
        self.queries: list[dict[str, str]] = []
        self.accepts: list[str] = []
        self.responses: list[ScriptedResponse] = []
        self.on_reload: Callable[[], None] = lambda: None

    def get(self, path: str, query: Query = (), accept: str = JSON) -> Json:
        asked = dict(query)
        self.accepts.append(accept)
        page = self._answer(f"list after {asked['continue']}" if "continue" in asked else "list", asked)
        assert isinstance(page, dict), "the script has a watch here"
        return page

    def stream(self, path: str, query: Query, read_timeout_s: float, accept: str = JSON) -> LineStream:
        asked = dict(query)
        self.accepts.append(accept)
        happenings = self._answer(f"watch from {asked['resourceVersion']}", asked)
        assert not isinstance(happenings, dict), "the script has a list here"
        self.responses.append(ScriptedResponse(happenings, self.clock))
        return LineStream(self.responses[-1], "watch")

    def reload(self) -> None:
        self.requests.append("reload")
        self.on_reload()

    def close(self) -> None:
        self.requests.append("close idle")

    def _answer(self, request: str, query: dict[str, str]) -> Json | Sequence[Happening]:
        if not self.script:
            self.clock.set()
            raise ApiError("the script has ended")
        self.requests.append(request)
        self.queries.append(query)
        answer = self.script.popleft()
        if isinstance(answer, Exception):
            raise answer
        return answer


class World:
    """A watch, and all around it: World is where its pods go and its watchdog."""

    def __init__(self, *script: Answer, pace: Pace | None = None) -> None:
        self.api = ScriptedApi(*script)
        self.stop = self.api.clock
        self.waits = self.stop.waits
        self.pods: list[str] = []
        self.lists = 0
        self.doubts = 0  # so many lists are not believed
        self.beats: list[float | None] = []  # None: idle
        self.while_empty: Callable[[], None] = lambda: None
        self.watch = PodWatch(
            self.api, NODE, self, self, rng=random.Random(1), clock=self.stop, pace=pace,
            while_empty=lambda: self.while_empty(),
        )  # fmt: skip

    def run(self) -> list[str]:
        """Until the script has ended; the requests that were made."""
        self.watch.run(self.stop)
        return self.api.requests

    @property
    def confirmed(self) -> bool:
        return self.lists > self.doubts

    def replace(self, pods: Iterable[Pod]) -> None:
        self.lists += 1
        self.pods.append(" ".join(["all:", *(pod.key.name for pod in pods)]))

    def upsert(self, pod: Pod) -> None:
        self.pods.append(f"there: {pod.key.name}")

    def remove(self, pod: Pod) -> None:
        self.pods.append(f"gone: {pod.key.name}")

    def working(self, allowance_s: float) -> None:
        self.beats.append(allowance_s)

    def idle(self) -> None:
        self.beats.append(None)


def page(*names: str, version: str = "1", more: str = "") -> Json:
    """A page of a list; `more`: the token that continues it."""
    items = [{"metadata": {"namespace": "default", "name": name, "uid": "uid"}} for name in names]
    return {"kind": "PodList", "metadata": {"resourceVersion": version, "continue": more}, "items": items}


def line(kind: str, name: str = "", version: str = "", **obj: Any) -> bytes:
    """An event about a pod, which a bookmark does not name; or about another object."""
    metadata = {"namespace": "default", "name": name, "uid": "uid", "resourceVersion": version}
    return json.dumps({"type": kind, "object": obj or {"kind": "Pod", "metadata": metadata}}).encode() + b"\n"
