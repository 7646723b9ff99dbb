"""A real PodWatch and KubeApi in this process against the API stand-in, with all times shortened."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterable
from pathlib import Path

from podagent.kube.api import KubeApi
from podagent.kube.credentials import load
from podagent.kube.watch import Pace, PodWatch
from podagent.model import Pod

NODE = "node1"
QUICK = Pace(lifetime_s=(1, 1), slack_s=0.5, settled_s=0.4, retry_first_s=0.05, retry_cap_s=0.3)


class Pods:
    """A PodSink that keeps the pods, as the agent does."""

    def __init__(self) -> None:
        self.by_name: dict[str, Pod] = {}
        self.lists: list[list[str]] = []

    def replace(self, pods: Iterable[Pod]) -> None:
        self.by_name = {pod.key.name: pod for pod in pods}
        self.lists.append(sorted(self.by_name))

    def upsert(self, pod: Pod) -> None:
        self.by_name[pod.key.name] = pod

    def remove(self, pod: Pod) -> None:
        self.by_name.pop(pod.key.name, None)

    def networks(self, name: str) -> str | None:
        pod = self.by_name.get(name)
        return pod.annotations.get("networks") if pod else None


class Beats:
    """A Beat that keeps whether it is idle."""

    def __init__(self) -> None:
        self.is_idle = True

    def working(self, allowance_s: float) -> None:
        self.is_idle = False

    def idle(self) -> None:
        self.is_idle = True


class Watching:
    """A PodWatch at work in a thread."""

    def __init__(self, kubeconfig: Path, pace: Pace) -> None:
        self.pods = Pods()
        self.beats = Beats()
        self.api = KubeApi(lambda: load(kubeconfig, {}), timeout_s=2)
        self._stop = threading.Event()
        self._watch = PodWatch(self.api, NODE, self.pods, self.beats, rng=random.Random(1), pace=pace)
        self._thread = threading.Thread(target=self._watch.run, args=(self._stop,), daemon=True)
        self._thread.start()

    def stop(self, timeout: float = 10) -> None:
        self._stop.set()
        self._watch.close()
        self._thread.join(timeout)
        self.api.close()
        assert not self._thread.is_alive(), f"the watch did not stop within {timeout} s"
