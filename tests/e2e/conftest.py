"""The real node, its agent, pods and networks, as fixtures; the check that a case leaves nothing behind; evidence."""

from __future__ import annotations

import itertools
import signal
import sys
import threading
from collections.abc import Generator, Iterator
from types import FrameType
from typing import Any

import pytest
from kubernetes import client, config

from e2e.cluster.cluster import Cluster
from e2e.cluster.host import Refused
from e2e.cluster.objects import Objects
from e2e.cluster.signals import SIGNALS
from e2e.cluster.systemplugin import SYSTEM_PLUGINS
from e2e.evidence import Evidence
from e2e.leftovers import Leftovers
from e2e.nodepods import NodePods
from functional.expectations import records
from functional.outcomes import wait_exactly
from lab import processes
from lab.agent import Agent, AgentFactory
from lab.host import wait_as_before
from lab.networks import Network, Networks
from lab.waiting import eventually

_SETTLE_SECONDS = 240.0
_COLLECTION_SECONDS = 150.0
_NUMBERS = itertools.count()
_EVIDENCE = pytest.StashKey[Evidence]()
_INTERRUPTED = threading.Event()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--system-plugin", choices=SYSTEM_PLUGINS, default="kactus", help="the node's CNI plugin")


def pytest_sessionstart() -> None:
    for number in SIGNALS:
        signal.signal(number, _interrupt)


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    made = Cluster(request.config.getoption("--system-plugin"))
    evidence = request.config.stash[_EVIDENCE] = Evidence(made)
    try:
        made.up(lambda text: print(f"cluster: {text}", file=sys.stderr))
    except Refused as error:
        pytest.exit(f"e2e: {error}", 2)
    except BaseException:
        # Without a cluster no case can say anything: one report, one folder.
        try:
            evidence.collect("cluster-did-not-come-up")
        finally:
            _take_down(made)
        print(f"what is known: {evidence.folder}", file=sys.stderr)
        raise
    try:
        yield made
        if not _INTERRUPTED.is_set():
            _assert_containers_are_collected(made)
    except BaseException:
        evidence.collect("after-all-cases")
        raise
    finally:
        differs = _take_down(made)
    assert not differs, f"this machine is not as it was before: {differs}"


def _take_down(cluster: Cluster) -> dict[str, list[str]]:
    """Not to be cut short by another signal."""
    if not cluster.is_mine:
        return {}
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    return cluster.down()


@pytest.fixture(scope="session")
def api(cluster: Cluster) -> client.CoreV1Api:
    return client.CoreV1Api(config.new_client_from_config(str(cluster.layout.kubeconfig("admin"))))


@pytest.fixture(autouse=True)
def clean_node(cluster: Cluster) -> Iterator[None]:
    """Fails a case that leaves an interface, lease, namespace, container or kept attachment behind.

    Containers that have ended are collected by the kubelet, once a minute: that is looked at when all cases are done.
    """
    before = Leftovers.now(cluster)
    yield
    wait_as_before(before, lambda: Leftovers.now(cluster), _SETTLE_SECONDS)


@pytest.fixture
def networks(api: client.CoreV1Api, clean_node: None) -> Iterator[Networks]:
    """When the case is over, no address of theirs may be in use; only then what the plugins made is removed."""
    made = Networks(Objects(api.api_client))
    yield made
    try:
        wait_exactly({}, made.made, timeout=_SETTLE_SECONDS)
    finally:
        made.remove_all()


@pytest.fixture
def two(networks: Networks) -> list[Network]:
    """Two networks of the bridge plugin."""
    return [networks.bridge(), networks.bridge()]


@pytest.fixture
def pods(cluster: Cluster, api: client.CoreV1Api, networks: Networks) -> Iterator[NodePods]:
    made = NodePods(cluster, api)
    yield made
    cluster.heal()
    made.remove_all()


@pytest.fixture
def agent(cluster: Cluster, pods: NodePods, networks: Networks) -> Iterator[AgentFactory]:
    """Makes agents of this node: ``agent()`` starts one, ``agent(start=False)`` only prepares it.

    When the case is over the pods are deleted by force, and the agent must have forgotten all of them in the end.
    """
    made: list[Agent] = []

    def make(*, start: bool = True, **changes: Any) -> Agent:
        folder = cluster.layout.agent / str(next(_NUMBERS))
        prepared = Agent(folder, **{**cluster.agent_arguments(), **changes})
        made.append(prepared)
        return prepared.start() if start else prepared

    yield make
    try:
        cluster.heal()
        pods.remove_all()
        for each in made:
            assert not each.ended_by_itself, "the agent crashed"
            if not each.running:
                each.start()
            eventually(lambda each=each: not records(each), _SETTLE_SECONDS, "the agent to forget every pod")
            assert not processes.namespaces_held(each.pid), "the agent still holds network namespaces open"
            assert "Traceback" not in each.log()
    finally:
        for each in made:
            print(f"--- log of agent {each.directory.name}\n{each.log()}")
            each.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    evidence = item.config.stash.get(_EVIDENCE, None)
    if report.failed and evidence and evidence.can_be_had:
        evidence.collect(f"{item.name}-{report.when}")
    return report


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    evidence = config.stash.get(_EVIDENCE, None)
    if evidence and evidence.failures:
        terminalreporter.write_line(f"logs, interfaces, leases and state of what failed: {evidence.folder}", red=True)


def _assert_containers_are_collected(cluster: Cluster) -> None:
    assert cluster.runtime
    names = cluster.runtime.container_names
    eventually(lambda: not names(), _COLLECTION_SECONDS, "the kubelet to remove the containers of all pods")


def _interrupt(number: int, frame: FrameType | None) -> None:
    _INTERRUPTED.set()
    raise KeyboardInterrupt
