"""Nodes for tests, and the check that a test leaves nothing behind.

A test takes a `bed`, which it shares with its module, or makes one with `own_bed` if its agent needs arguments of its
own.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from functional.bed import Bed
from functional.ways import CHOSEN, RUNTIMES
from lab.apiserver import ApiServer
from lab.dockerd import PrivateDockerd
from lab.failingagent import Remote
from lab.host import HostState, wait_as_before
from lab.node import Node
from lab.podruntime import PodRuntime


@pytest.fixture(scope="session")
def running() -> Iterator[Callable[[str], PodRuntime]]:
    """The runtime of a name, which is started when a test needs it for the first time."""
    with ExitStack() as stack:
        yield cache(lambda name: stack.enter_context(RUNTIMES[name]()))


@pytest.fixture(scope="session")
def dockerd(running: Callable[[str], PodRuntime]) -> PrivateDockerd:
    started = running("docker")
    assert isinstance(started, PrivateDockerd)
    return started


@pytest.fixture
def on(request: pytest.FixtureRequest) -> str:
    """The name of the runtime in this test: see `ways`."""
    return str(getattr(request, "param", CHOSEN[0]))


@pytest.fixture
def pod_runtime(on: str, running: Callable[[str], PodRuntime]) -> PodRuntime:
    return running(on)


@pytest.fixture
def via(request: pytest.FixtureRequest) -> str:
    """How agents attach in this test by default: see `ways`."""
    return getattr(request, "param", "delegate")


@pytest.fixture(scope="module")
def agent_arguments() -> dict[str, Any]:
    """Of the agents that the tests of a module share: a module may have its own."""
    return {}


@pytest.fixture(scope="module")
def remote() -> Iterator[Remote]:
    """The system calls of the agents of a module, for a module whose `agent_arguments` have its `env`."""
    with tempfile.TemporaryDirectory(prefix="podagent-test-") as directory:
        yield Remote(Path(directory))


@pytest.fixture(scope="module")
def beds() -> Iterator[dict[tuple[str, str], Bed]]:
    """The beds of a module, by runtime and way to attach; a test takes one out while it is at work."""
    idle: dict[tuple[str, str], Bed] = {}
    yield idle
    for bed in idle.values():
        bed.close()


@pytest.fixture
def bed(
    beds: dict[tuple[str, str], Bed], on: str, via: str, pod_runtime: PodRuntime, agent_arguments: dict[str, Any]
) -> Iterator[Bed]:
    """A clean node with a running agent, which the tests of a module share. One that cannot be tidied is replaced."""
    shared = beds.pop((on, via), None) or Bed(pod_runtime, via, **agent_arguments)
    with shared.lent():
        yield shared
    beds[on, via] = shared


@pytest.fixture
def own_bed(via: str, pod_runtime: PodRuntime) -> Iterator[Callable[..., Bed]]:
    """Makes a node for this test alone: ``own_bed(options={...})``, with arguments of its agent."""
    with ExitStack() as made:

        def make(**arguments: Any) -> Bed:
            own = Bed(pod_runtime, via, **arguments)
            made.callback(own.close)
            made.enter_context(own.lent())
            return own

        yield make


@pytest.fixture
def device() -> Iterator[str]:
    """A link of the host that stands for a network card."""
    name = f"plhd{os.getpid() % 10000}"
    subprocess.run(["ip", "link", "add", name, "type", "veth", "peer", "name", f"{name}p"], check=True)
    yield name
    subprocess.run(["ip", "link", "del", name], check=True)


@pytest.fixture
def workdir() -> Iterator[Path]:
    """A directory whose path is short enough for unix sockets."""
    with tempfile.TemporaryDirectory(prefix="podagent-test-") as directory:
        yield Path(directory)


@pytest.fixture
def node(pod_runtime: PodRuntime) -> Iterator[Node]:
    """A node without an agent. Nothing of its pods may be left."""
    before = HostState.now(pod_runtime)
    with ApiServer() as api:
        made = Node(api, pod_runtime)
        yield made
        made.remove_all()
    wait_as_before(before, lambda: HostState.now(pod_runtime))
