"""Which pod is which: names come again, UIDs do not; and what was a pod's goes when the pod goes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from functional.expectations import (
    ifname,
    ifnames,
    records,
    wait_for_attached,
    wait_for_lease,
    wait_for_nothing_left,
)
from functional.ways import BOTH_WAYS
from lab.agent import AgentFactory
from lab.apiserver import ApiServer
from lab.networks import Networks
from lab.node import Node, Pod
from lab.plugins import PluginDir
from lab.waiting import eventually

pytestmark = [pytest.mark.root, BOTH_WAYS]


def test_two_pods_of_one_name_in_two_namespaces_are_never_crossed(
    agent: AgentFactory, node: Node, networks: Networks
) -> None:
    common, of_red, of_blue = networks.bridge("common"), networks.bridge("own", "red"), networks.bridge("own", "blue")
    agent()
    red, blue = node.pod("web", "red"), node.pod("web", "blue")

    red.annotate(["own", "common"])
    blue.annotate(["common", "own"])
    for pod, own in ((red, of_red), (blue, of_blue)):
        assert own.holds(pod.wait_for_link(ifname("own")).addresses[0])
        assert common.holds(pod.wait_for_link(ifname("common")).addresses[0])
        wait_for_lease(own, pod)
    assert {lease.container_id for lease in common.leases()} == {red.sandbox_id, blue.sandbox_id}

    staying = blue.links()
    red.annotate(["own"])
    red.wait_for_no_link(ifname("common"))
    wait_for_lease(common, blue)
    red.delete()
    eventually(lambda: not of_red.leases())
    assert blue.links() == staying
    wait_for_lease(of_blue, blue)


@pytest.mark.parametrize("grace", [True, False], ids=["gracefully", "by force"])
def test_the_leases_of_a_deleted_pod_are_released(
    agent: AgentFactory, node: Node, networks: Networks, grace: bool
) -> None:
    made = [networks.bridge(), networks.bridge(tuning=True)]
    running = agent()
    pod, beside = node.pod(networks=[network.name for network in made]), node.pod(networks=[made[0].name])
    wait_for_attached(running, *made, made[0])

    pod.delete(grace=grace)
    wait_for_lease(made[0], beside)
    wait_for_attached(running, made[0])
    assert not made[1].leases()
    assert made[0].holds(beside.links()[ifname(made[0])].addresses[0])


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_the_leases_of_a_finished_pod_are_released_while_its_object_stays(
    agent: AgentFactory, api: ApiServer, node: Node, networks: Networks, phase: str
) -> None:
    network = networks.bridge()
    running = agent()
    pod = node.pod(networks=[network.name])
    wait_for_attached(running, network)
    pod.finish(phase)
    wait_for_nothing_left(running, network)
    assert api.exists("pods", pod.namespace, pod.name)


def test_a_pod_that_is_being_deleted_is_left_to_the_kubelet_until_its_object_is_gone(
    agent: AgentFactory, api: ApiServer, node: Node, networks: Networks, plugins: PluginDir
) -> None:
    network = networks.bridge()
    plugins.record("bridge")
    running = agent()
    pod, beside = node.pod(networks=[network.name]), node.pod()
    wait_for_attached(running, network)

    api.begin_deletion(pod.namespace, pod.name)
    pod.kill_sandbox()
    beside.annotate([network.name])
    wait_for_attached(running, network, network)
    assert not plugins.calls("DEL")

    api.delete("pods", pod.namespace, pod.name)
    wait_for_lease(network, beside)
    wait_for_attached(running, network)


def deleted_then_made_again(node: Node, old: Pod, networks: list[str]) -> Pod:
    old.delete()
    return node.pod(old.name, old.namespace, networks=networks)


def made_again_while_the_old_containers_still_run(node: Node, old: Pod, networks: list[str]) -> Pod:
    node.api.delete("pods", old.namespace, old.name)
    return node.pod(old.name, old.namespace, networks=networks)


@pytest.mark.parametrize("replace", [deleted_then_made_again, made_again_while_the_old_containers_still_run])
@pytest.mark.parametrize("agent_runs", [True, False], ids=["agent up", "agent down"])
def test_a_pod_made_again_under_its_name_has_its_own_attachments(
    agent: AgentFactory, node: Node, networks: Networks, replace: Callable[[Node, Pod, list[str]], Pod],
    agent_runs: bool,
) -> None:  # fmt: skip
    both, only_old, only_new = networks.bridge(), networks.bridge(), networks.bridge()
    running = agent()
    old = node.pod("web", networks=[both.name, only_old.name])
    wait_for_attached(running, both, only_old)
    if not agent_runs:
        running.stop()
    new = replace(node, old, [both.name, only_new.name])
    if not agent_runs:
        running.start()

    new.wait_for_link(ifname(only_new))
    new.wait_for_link(ifname(both))
    wait_for_attached(running, both, only_new)
    assert set(new.links()) == ifnames(both, only_new)
    wait_for_lease(both, new)
    wait_for_lease(only_new, new)
    assert not only_old.leases()
    assert {record["pod"]["uid"] for record in records(running)} == {new.uid}
    if old.sandbox_id:
        assert set(old.links()) == {"lo"}


def test_a_static_pod_keeps_its_networks_when_only_its_mirror_object_goes(
    agent: AgentFactory, api: ApiServer, node: Node, networks: Networks
) -> None:
    network, barrier = networks.bridge(), networks.bridge()
    running = agent()
    pod, beside = node.pod(static=True), node.pod()
    pod.annotate([network.name])
    attached = pod.wait_for_link(ifname(network))
    wait_for_attached(running, network)

    mirror = api.delete("pods", pod.namespace, pod.name)
    beside.annotate([barrier.name])
    beside.wait_for_link(ifname(barrier))
    assert pod.links()[ifname(network)] == attached
    del mirror["metadata"]["uid"], mirror["metadata"]["resourceVersion"]
    pod.object_uid = api.create(mirror)["metadata"]["uid"]
    pod.report_running()
    pod.annotate([network.name, barrier.name])
    pod.wait_for_link(ifname(barrier))
    assert pod.links()[ifname(network)] == attached

    pod.annotate([])
    pod.wait_for(lambda links: set(links) == {"lo"})
    beside.annotate([])
    wait_for_nothing_left(running, network, barrier)


def test_the_leases_of_a_static_pod_are_released_when_it_ends(
    agent: AgentFactory, node: Node, networks: Networks
) -> None:
    network = networks.bridge()
    running = agent()
    pod = node.pod(static=True, networks=[network.name])
    wait_for_attached(running, network)
    pod.delete()
    wait_for_nothing_left(running, network)
