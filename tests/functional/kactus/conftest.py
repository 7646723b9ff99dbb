"""kactus as a process of its own on a node with real plugins and namespaces; no container runtime is needed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sandboxes import SANDBOX_PREFIX, Sandbox, SandboxFactory, make_pod

from lab.apiserver import ApiServer
from lab.host import NAMED_NAMESPACES, SETTLE_SECONDS, names_in
from lab.kactus import Kactus, install
from lab.leases import ROOT
from lab.links import links_of
from lab.networks import Network, Networks
from lab.plugins import PluginDir
from lab.session import BRIDGE_PREFIX, LEASES_PREFIX, VETH_PREFIX
from lab.waiting import eventually


@pytest.fixture
def clean_host() -> Iterator[None]:
    """Fails a test that leaves an interface, a lease or a named network namespace behind."""
    before = _on_the_host()
    yield

    def nothing_left() -> bool:
        left = _on_the_host() - before
        assert not left, f"left behind by this test: {sorted(left)}"
        return True

    eventually(nothing_left, SETTLE_SECONDS, "the host to be as it was before the test")


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
def sandbox(kactus: Kactus, api: ApiServer) -> Iterator[SandboxFactory]:
    """Makes sandboxes; with ``networks`` (an annotation, as text or list) or ``pod`` there is a pod object as well."""
    made: list[Sandbox] = []

    def make(networks: Any = None, *, pod: str = "", namespace: str = "default") -> Sandbox:
        if networks is not None:
            pod = pod or f"pod-{len(made)}"
        if pod:
            make_pod(api, pod, networks, namespace)
        made.append(Sandbox(kactus, pod, namespace))
        made[-1].create()
        return made[-1]

    yield make
    for each in made:
        each.destroy()


def _on_the_host() -> frozenset[str]:
    ours = (BRIDGE_PREFIX, VETH_PREFIX)
    stray = {n for n, link in links_of().items() if n.startswith(ours) or (n.startswith("veth") and not link.master)}
    kept = {name for name in names_in(ROOT) if name.startswith(LEASES_PREFIX)}
    namespaces = {name for name in names_in(NAMED_NAMESPACES) if name.startswith(SANDBOX_PREFIX)}
    return frozenset(stray | kept | namespaces)
