"""The real client in this process, on the API stand-in."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from functional.kube.kube_watching import NODE, Watching
from lab.apiserver import ApiServer
from podagent.cni import plugin
from podagent.kube.api import KubeApi
from podagent.kube.credentials import load
from podagent.kubeconfig.plugin import runner

OLDEST_KUBECTL = 30
"""Older ones, such as Debian 12's 1.20, read kubeconfigs otherwise. The table was made with 1.32."""


def kubectl_minor() -> int:
    """The minor version of the machine's kubectl, 0 without one: it is no dependency of the tests."""
    if shutil.which("kubectl") is None:
        return 0
    said = subprocess.run(["kubectl", "version", "--client"], capture_output=True, text=True, timeout=60, check=False)
    found = re.search(r"v1\.(\d+)\.", said.stdout)
    return int(found[1]) if found else 0


collect_ignore = [] if kubectl_minor() >= OLDEST_KUBECTL else ["test_kubectl.py"]


@pytest.fixture
def server() -> Iterator[ApiServer]:
    with ApiServer(bookmark_s=0.3) as server:
        yield server


@pytest.fixture
def api(server: ApiServer, tmp_path: Path) -> Iterator[KubeApi]:
    path = server.write_kubeconfig(tmp_path / "kubeconfig")
    api = KubeApi(lambda: load(path, {}, runner(plugin.run, 5)), timeout_s=1)
    yield api
    api.close()


@pytest.fixture
def make_pod() -> Callable[..., dict[str, Any]]:
    def make(name: str, node: str = NODE, networks: str | None = None, phase: str = "Running") -> dict[str, Any]:
        annotations = {} if networks is None else {"networks": networks}
        metadata = {"name": name, "namespace": "default", "annotations": annotations}
        return {"kind": "Pod", "metadata": metadata, "spec": {"nodeName": node}, "status": {"phase": phase}}

    return make


@pytest.fixture
def watching(server: ApiServer, tmp_path: Path, make_pod: Callable[..., dict[str, Any]]) -> Iterator[Watching]:
    """A watch that has had its first list, with one pod, `web`."""
    server.create(make_pod("web"))
    with Watching(server.write_kubeconfig(tmp_path / "kubeconfig")) as watching:
        watching.has_begun(server)
        yield watching
