"""The real node, its agent, pods and networks, as fixtures; the check that a case leaves nothing behind; evidence."""

from __future__ import annotations

import itertools
import signal
import sys
from collections.abc import Generator, Iterator
from types import FrameType
from typing import Any

import pytest
from cluster.cluster import Cluster
from cluster.host import Refused
from cluster.objects import Objects
from cluster.systemplugin import SYSTEM_PLUGINS
from evidence import Evidence
from expectations import records
from kubernetes import client, config
from leftovers import Leftovers
from nodepods import NodePods

from lab.agent import Agent, AgentFactory
from lab.networks import Networks
from lab.waiting import eventually

_SETTLE_SECONDS = 60.0
_COLLECTION_SECONDS = 150.0
_NUMBERS = itertools.count()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--system-plugin", choices=SYSTEM_PLUGINS, default="kactus", help="the node's CNI plugin")


def pytest_sessionstart() -> None:
    signal.signal(signal.SIGTERM, _interrupt)


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    made = Cluster(request.config.getoption("--system-plugin"))
    evidence = request.config.stash[_EVIDENCE] = Evidence(made)
    try:
        made.up(lambda text: print(f"cluster: {text}", file=sys.stderr))
        yield made
        _assert_containers_are_collected(made)
    except Refused as error:
        pytest.exit(f"e2e: {error}", 2)
    except BaseException:
        evidence.collect("cluster")
        made.down()
        raise
    differs = made.down()
    assert not differs, f"this machine is not as it was before: {differs}"


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

    def nothing_left() -> bool:
        left = Leftovers.now(cluster).since(before)
        assert not left, f"left behind by this case: {left}"
        return True

    eventually(nothing_left, _SETTLE_SECONDS, "the node to be as it was before the case")


@pytest.fixture
def networks(cluster: Cluster, clean_node: None) -> Iterator[Networks]:
    made = Networks(Objects(cluster))
    yield made
    made.remove_all()


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
            if not each.running:
                each.start()
            eventually(lambda each=each: not records(each), _SETTLE_SECONDS, "the agent to forget every pod")
    finally:
        for each in made:
            print(f"--- log of agent {each.directory.name}\n{each.log()}")
            each.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    evidence = item.config.stash.get(_EVIDENCE, None)
    if report.failed and evidence:
        evidence.collect(f"{item.name}-{report.when}")
    return report


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    evidence = config.stash.get(_EVIDENCE, None)
    if evidence and evidence.failures:
        terminalreporter.write_line(f"logs, interfaces, leases and state of what failed: {evidence.folder}", red=True)


_EVIDENCE = pytest.StashKey[Evidence]()


def _assert_containers_are_collected(cluster: Cluster) -> None:
    assert cluster.dockerd
    listing = cluster.dockerd.client.api.containers
    eventually(lambda: not listing(all=True), _COLLECTION_SECONDS, "the kubelet to remove the containers of all pods")


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
