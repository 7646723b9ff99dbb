"""kactus as a process of its own on a node with real plugins and namespaces; no container runtime is needed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from functional.kactus.sandboxes import Sandbox, SandboxFactory, make_pod
from lab.apiserver import ApiServer
from lab.host import HostState, wait_as_before
from lab.kactus import Kactus, install
from lab.networks import Network, Networks
from lab.plugins import PluginDir


@pytest.fixture
def api() -> Iterator[ApiServer]:
    with ApiServer() as server:
        yield server


@pytest.fixture
def networks(api: ApiServer) -> Iterator[Networks]:
    """Fails a test that leaves an interface, a lease or a named network namespace behind."""
    before, made = HostState.now(), Networks(api)
    yield made
    made.remove_all()
    wait_as_before(before, HostState.now)


@pytest.fixture
def plugins(workdir: Path) -> Iterator[PluginDir]:
    """CNI_PATH of kactus."""
    directory = PluginDir(workdir / "cni-bin")
    yield directory
    left = directory.processes()
    directory.close()
    assert not left, f"plugins still running: {left}"


@pytest.fixture
def master(networks: Networks) -> Network:
    """What the master delegate attaches to; no definition of it is needed."""
    network = networks.bridge()
    networks.undefine(network)
    return network


@pytest.fixture
def kactus(api: ApiServer, master: Network, plugins: PluginDir, workdir: Path) -> Kactus:
    kubeconfig = api.write_kubeconfig(workdir / "kubeconfig")
    return Kactus(install(workdir / "bin"), plugins.path, workdir / "kactus", kubeconfig, master.config)


@pytest.fixture
def sandbox(kactus: Kactus, api: ApiServer, networks: Networks) -> Iterator[SandboxFactory]:
    """Makes sandboxes, which end without a trace after the test.

    With `annotation` (text or list) or `pod` there is a pod object as well.
    """
    made: list[Sandbox] = []

    def make(annotation: Any = None, *, pod: str = "", namespace: str = "default") -> Sandbox:
        if annotation is not None:
            pod = pod or f"pod-{len(made)}"
        if pod:
            make_pod(api, pod, annotation, namespace)
        made.append(Sandbox(kactus, networks, pod, namespace))
        return made[-1]

    yield make
    try:
        for each in made:
            each.assert_ends_without_a_trace()
        assert kactus.files() == []
    finally:
        for each in made:
            each.destroy()
