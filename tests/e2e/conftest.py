"""The real node, its agent, pods and networks, as fixtures; the check that a case leaves nothing behind; evidence."""

from __future__ import annotations

import itertools
import signal
import sys
from collections.abc import Generator, Iterator
from types import FrameType
from typing import Any

import pytest
from kubernetes import client, config

from e2e.cluster.apart import is_apart
from e2e.cluster.cluster import Cluster
from e2e.cluster.layout import AGENT, KACTUS, NODE_BRIDGE, POD_BRIDGE, POD_NETWORK, kubeconfig
from e2e.cluster.node import KINDS
from e2e.cluster.objects import Objects
from e2e.evidence import Evidence
from e2e.nodepods import NodePods
from functional.outcomes import kept_attachments, settles
from lab import processes
from lab.agent import Agent, AgentFactory
from lab.files import names_in
from lab.host import NAMED_NAMESPACES, HostState, wait_as_before
from lab.leases import ROOT, leases
from lab.links import links_of
from lab.networks import Network, Networks
from lab.waiting import eventually

_SETTLE_SECONDS = 240.0
_COLLECTION_SECONDS = 150.0
_NUMBERS = itertools.count()
_EVIDENCE = pytest.StashKey[Evidence]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--node-kind", choices=tuple(KINDS), default="kactus", help="its CNI plugin and runtime")


def pytest_sessionstart() -> None:
    if not is_apart():
        pytest.exit("e2e: a cluster takes a machine of its own: use `make e2e`", 2)
    signal.signal(signal.SIGTERM, _interrupt)


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    made = Cluster(request.config.getoption("--node-kind"))
    evidence = request.config.stash[_EVIDENCE] = Evidence(made)
    try:
        made.up(lambda text: print(f"cluster: {text}", file=sys.stderr))
        yield made
        _assert_containers_are_collected(made)
    except BaseException:
        evidence.collect("cluster")
        raise


def _assert_containers_are_collected(cluster: Cluster) -> None:
    """By the kubelet, once a minute and when it starts: no plugin may keep it from that."""
    assert cluster.kubelet
    cluster.kubelet.stop()
    cluster.kubelet.start()
    names = cluster.runtime.container_names
    eventually(lambda: not names(), _COLLECTION_SECONDS, "the kubelet to remove the containers of all pods")


@pytest.fixture(scope="session")
def api(cluster: Cluster) -> client.CoreV1Api:
    return client.CoreV1Api(config.new_client_from_config(str(kubeconfig("admin"))))


@pytest.fixture(autouse=True)
def clean_node(cluster: Cluster) -> Iterator[None]:
    """Fails a case that leaves an interface, lease, namespace, running container or kept attachment behind."""
    before = _state(cluster)
    yield
    wait_as_before(before, lambda: _state(cluster), _SETTLE_SECONDS)


def _state(cluster: Cluster) -> HostState:
    """Of the node, all of which is ours. An attachment that kactus keeps is among the leases.

    Without kactus the leases of eth0 are the kubelet's: of a pod deleted while it starts, dockershim may leave one.
    """
    networks = {*names_in(ROOT)} - ({POD_NETWORK} if cluster.system_plugin == "bridge" else set())
    leased = {f"{name}/{lease.ip}" for name in networks for lease in leases(name)}
    kept = {" ".join(each) for each in kept_attachments(KACTUS)}
    running = cluster.runtime.container_names(running=True)
    interfaces = links_of().keys() - {NODE_BRIDGE, POD_BRIDGE}
    return HostState(*map(frozenset, (interfaces, leased | kept, names_in(NAMED_NAMESPACES), running)))


@pytest.fixture
def networks(api: client.CoreV1Api, clean_node: None) -> Iterator[Networks]:
    """When the case is over, no address of theirs may be in use; only then what the plugins made is removed."""
    made = Networks(Objects(api.api_client))
    yield made
    try:
        settles({}, made.made, timeout=_SETTLE_SECONDS)
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
    """Makes the agent of this node: ``agent()`` starts it, ``agent(start=False)`` only prepares it.

    When the case is over the pods are deleted by force, and the agent must have forgotten all of them in the end.
    """
    made: list[Agent] = []

    def make(*, start: bool = True, **changes: Any) -> Agent:
        prepared = Agent(AGENT / str(next(_NUMBERS)), **{**cluster.agent_arguments(), **changes})
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
            settles({}, networks.made, each, _SETTLE_SECONDS)
            assert not processes.namespaces_held(each.pid), "the agent still holds network namespaces open"
            assert "Traceback" not in each.log()
    finally:
        for each in made:
            print(f"--- log of agent {each.directory.name}\n{each.log()}")
            each.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed and (evidence := item.config.stash.get(_EVIDENCE, None)):
        evidence.collect(f"{item.name}-{report.when}")
    return report


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    evidence = config.stash.get(_EVIDENCE, None)
    if evidence and evidence.folder.exists():
        terminalreporter.write_line(f"logs, interfaces, leases and state of what failed: {evidence.folder}", red=True)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
