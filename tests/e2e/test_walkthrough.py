"""The example of the README on the real node: every command as it stands there, and what it promises."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator

import pytest

from e2e.cluster.cluster import Cluster
from e2e.cluster.layout import PROJECT
from e2e.nodepods import NodePods
from functional.expectations import ifname
from lab.agent import AgentFactory
from lab.leases import leases
from lab.waiting import eventually

IFNAME = "net8d777f385d3d"
FIRST = "$(kubectl get pod -l run=hello-multi-net -o name | cut -d/ -f2 | head -1)"
SECOND = "$(kubectl get pod -l run=hello-multi-net -o name | cut -d/ -f2 | tail -1)"


@pytest.fixture
def example(cluster: Cluster, pods: NodePods) -> Iterator[None]:
    """Removes what the example leaves to whoever tries it."""
    yield
    pods.remove_all()
    cluster.kubectl("delete", "-f", "examples/data-net.yaml")
    subprocess.run(["ip", "link", "del", "data-br"], check=False, capture_output=True)


@pytest.mark.once
def test_the_example_of_the_readme_does_what_it_says_and_ends_without_a_lease(
    cluster: Cluster, pods: NodePods, agent: AgentFactory, example: None
) -> None:
    agent()
    define, deploy, add, show, state, delete, show_again, state_again, add_second, bridge = _commands()
    cluster.shell(define)
    cluster.shell(deploy)
    cluster.kubectl("wait", "--for=condition=Available", "deployment/hello-multi-net", "--timeout=90s")
    first, second = pods.labelled("run=hello-multi-net")
    before = {pod: (pod.container, pod.links()["eth0"]) for pod in (first, second)}

    assert ifname("data") == IFNAME
    assert f"added to pod default/{first.name}" in cluster.shell(add)
    link = first.wait_for_link(IFNAME)
    assert link.addresses[0].startswith("172.20.1.")
    assert re.search(rf"{IFNAME}.*\n.*\n\s*inet 172\.20\.1\.\d+/24", cluster.shell(show))
    _assert_running_without_restart(cluster.shell(state))

    assert f"deleted from pod default/{first.name}" in cluster.shell(delete)
    first.wait_for_no_link(IFNAME)
    assert IFNAME not in cluster.shell(show_again)
    assert "eth0" in cluster.shell(show_again)
    _assert_running_without_restart(cluster.shell(state_again))

    cluster.shell(add_second)
    second.wait_for_link(IFNAME)
    assert IFNAME in cluster.shell(show.replace(FIRST, SECOND))
    assert IFNAME not in first.links()
    assert re.search(r"^data-br\s.*\sveth\w+$", cluster.shell(bridge), re.MULTILINE)
    assert {pod: (pod.container, pod.links()["eth0"]) for pod in (first, second)} == before

    assert len(leases("data")) == 1
    cluster.kubectl("delete", "-f", "examples/hello-multi-net.yaml")
    # Only when the pod objects have gone: the kubelet may take a minute for that after their containers have ended.
    eventually(lambda: not leases("data"), 120, "the leases of data to be released")


def _commands() -> list[str]:
    """Those of the README, in their order; `kubectl run`, which no kubectl since 1.18 understands, as it says there."""
    text = (PROJECT / "README.md").read_text()
    walkthrough = text.partition("## Walkthrough\n")[2].partition("\n## ")[0]
    commands = re.findall(r"^    \$ (.+)$", walkthrough, re.MULTILINE)
    old = "kubectl run hello-multi-net --image=alpine --replicas=2 -- top"
    new = "kubectl apply -f examples/hello-multi-net.yaml"
    assert f"`{new}`" in walkthrough
    commands.remove(f"POD={FIRST}")
    return [new if command == old else command.replace("$POD", FIRST) for command in commands]


def _assert_running_without_restart(shown: str) -> None:
    assert re.match(r"hello-multi-net-\S+\s+1/1\s+Running\s+0\s", shown), shown
