"""The API stand-in, and watches on it that are stopped when the test ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from functional.kube.kube_watching import NODE, QUICK, Watching
from lab.apiserver import ApiServer
from podagent.kube.api import KubeApi
from podagent.kube.credentials import load
from podagent.kube.watch import Pace


@pytest.fixture
def server() -> Iterator[ApiServer]:
    with ApiServer(bookmark_s=0.3) as server:
        yield server


@pytest.fixture
def kubeconfig(server: ApiServer, tmp_path: Path) -> Path:
    return server.write_kubeconfig(tmp_path / "kubeconfig")


@pytest.fixture
def start_watching(kubeconfig: Path) -> Iterator[Callable[..., Watching]]:
    started: list[Watching] = []

    def start(pace: Pace = QUICK, path: Path = kubeconfig) -> Watching:
        started.append(Watching(path, pace))
        return started[-1]

    yield start
    for watching in started:
        watching.stop()


@pytest.fixture
def api(kubeconfig: Path) -> Iterator[KubeApi]:
    api = KubeApi(lambda: load(kubeconfig, {}), timeout_s=1)
    yield api
    api.close()


@pytest.fixture
def make_pod() -> Callable[..., dict[str, Any]]:
    def make(name: str, node: str = NODE, networks: str | None = None, phase: str = "Running") -> dict[str, Any]:
        annotations = {} if networks is None else {"networks": networks}
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": "default", "annotations": annotations},
            "spec": {"nodeName": node},
            "status": {"phase": phase},
        }

    return make
