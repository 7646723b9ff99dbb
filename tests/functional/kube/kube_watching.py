"""A real PodWatch and KubeApi in this process against the API stand-in, with all times shortened."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from lab.apiserver import ApiServer
from lab.waiting import eventually
from podagent.cni import plugin
from podagent.kube.api import KubeApi
from podagent.kube.credentials import load, stamp
from podagent.kube.watch import Pace, PodWatch
from podagent.kubeconfig.plugin import runner
from podagent.model import Pod

NODE = "node1"


class Watching:
    """A PodWatch at work in a thread. Its PodSink, which keeps the pods as the agent does, and its Beat."""

    def __init__(self, kubeconfig: Path, lifetime_s: float = 1) -> None:
        self.pods: dict[str, Pod] = {}
        self.is_idle = True
        credentials = partial(load, kubeconfig, {}, runner(plugin.run, 5))
        self._api = KubeApi(credentials, timeout_s=2, stamp=lambda: stamp(kubeconfig))
        self._stop = threading.Event()
        pace = Pace((lifetime_s, lifetime_s), slack_s=0.5, settled_s=0.4, retry_first_s=0.05, retry_cap_s=0.3)
        self._watch = PodWatch(self._api, NODE, self, self, rng=random.Random(1), pace=pace)
        self._thread = threading.Thread(target=self._watch.run, args=(self._stop,), daemon=True)

    def __enter__(self) -> Watching:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(10)

    def stop(self, timeout: float) -> None:
        self._stop.set()
        self._watch.close()
        self._thread.join(timeout)
        self._api.close()
        assert not self._thread.is_alive(), f"the watch did not stop within {timeout} s"

    def refresh(self) -> None:
        """As the agent does by itself every few seconds."""
        self._api.refresh()

    def has_begun(self, server: ApiServer) -> None:
        eventually(lambda: server.requests.count("watch", "pods"))

    def sees(self, networks: str | None, timeout: float = 8) -> None:
        """Waits for that annotation of pod `web`."""
        eventually(
            lambda: self.pods["web"].annotations.get("networks") == networks, timeout, f"networks = {networks!r}"
        )

    confirmed = True

    def replace(self, pods: Iterable[Pod]) -> None:
        self.pods = {pod.key.name: pod for pod in pods}

    def upsert(self, pod: Pod) -> None:
        self.pods[pod.key.name] = pod

    def remove(self, pod: Pod) -> None:
        self.pods.pop(pod.key.name, None)

    def working(self, allowance_s: float) -> None:
        self.is_idle = False

    def idle(self) -> None:
        self.is_idle = True
