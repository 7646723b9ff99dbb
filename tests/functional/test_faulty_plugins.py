"""Plugins that misbehave: bounded, told, tried again with growing delays, and nobody else waits for them.

`broken` is a network of the bridge and the tuning plugin in a chain, and it is tuning that misbehaves: by then the
bridge plugin has made an interface and taken a lease.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from functional.expectations import (
    ifname,
    ifnames,
    records,
    wait_for_attached,
    wait_for_event,
    wait_for_lease,
    wait_for_line,
    wait_for_nothing_left,
)
from functional.ways import BOTH_WAYS
from lab import processes
from lab.agent import Agent, AgentFactory
from lab.apiserver import ApiServer
from lab.networks import Network, Networks
from lab.node import Node
from lab.plugins import PluginDir
from lab.waiting import eventually

pytestmark = [pytest.mark.root, BOTH_WAYS]

TIMEOUT = {"plugin-timeout": "2s"}
Fault = Callable[[PluginDir, str], None]


def hangs(plugins: PluginDir, command: str) -> None:
    plugins.hang("tuning", command)


def leaves_a_child_that_hangs(plugins: PluginDir, command: str) -> None:
    plugins.hang("tuning", command, grandchild=True)


def fails(plugins: PluginDir, command: str) -> None:
    plugins.fail("tuning", command, code=11, msg="not now", details="come back later")


def fails_without_a_word(plugins: PluginDir, command: str) -> None:
    plugins.fail_silently("tuning", command, stderr="lost the link")


def prints_rubbish(plugins: PluginDir, command: str) -> None:
    plugins.print("tuning", command, text="surely not JSON {")


def prints_100_megabytes(plugins: PluginDir, command: str) -> None:
    plugins.flood("tuning", command, megabytes=100)


def dies(plugins: PluginDir, command: str) -> None:
    plugins.die("tuning", command, signal="SEGV")


FAULTS_OF_ADD: dict[Fault, str] = {
    hangs: "did not end within 2 s",
    leaves_a_child_that_hangs: "printed nothing",
    fails: "not now (come back later) [code 11]",
    fails_without_a_word: "lost the link",
    prints_rubbish: "surely not JSON",
    prints_100_megabytes: "more than 4 MiB",
    dies: "SIGSEGV",
}
# On DEL, what a plugin prints does not matter.
FAULTS_OF_DEL: dict[Fault, str] = {hangs: "did not end within 2 s", fails: "not now (come back later)", dies: "SIGSEGV"}


def _names(faults: dict[Fault, str]) -> list[str]:
    return [fault.__name__.replace("_", " ") for fault in faults]


@pytest.mark.parametrize(("fault", "words"), FAULTS_OF_ADD.items(), ids=_names(FAULTS_OF_ADD))
def test_a_failed_attach_is_told_undone_and_made_good_later(
    agent: AgentFactory, api: ApiServer, node: Node, networks: Networks, plugins: PluginDir, fault: Fault, words: str
) -> None:
    broken, good = networks.bridge(tuning=True), networks.bridge()
    fault(plugins, "ADD")
    running = agent(options=TIMEOUT)
    pod = node.pod()
    pod.annotate([broken.name, good.name])

    told = wait_for_event(api, pod, "NetworkAttachFailed", broken.name, words, timeout=10)
    assert len(told) < 1000
    wait_for_line(running, f"pod default/{pod.name} failed, next try in 1 s", broken.name, words)
    attached = pod.wait_for_link(ifname(good), timeout=5)
    eventually(lambda: not plugins.processes(), 3, "what the plugin left at work to be ended")

    plugins.restore("tuning")
    assert broken.holds(pod.wait_for_link(ifname(broken)).addresses[0])
    wait_for_attached(running, broken, good)
    wait_for_lease(broken, pod)
    assert pod.links()[ifname(good)] == attached

    pod.annotate([])
    wait_for_nothing_left(running, broken, good)


@pytest.mark.parametrize(("fault", "words"), FAULTS_OF_DEL.items(), ids=_names(FAULTS_OF_DEL))
def test_a_failed_detach_is_told_and_made_good_later(
    agent: AgentFactory, api: ApiServer, node: Node, networks: Networks, plugins: PluginDir, fault: Fault, words: str
) -> None:
    broken, good = networks.bridge(tuning=True), networks.bridge()
    running = agent(options=TIMEOUT)
    pod = node.pod(networks=[good.name, broken.name])
    wait_for_attached(running, broken, good)

    fault(plugins, "DEL")
    pod.annotate([])
    wait_for_event(api, pod, "NetworkDetachFailed", broken.name, words, timeout=10)
    wait_for_line(running, f"pod default/{pod.name} failed, next try in", broken.name, words)
    pod.wait_for(lambda links: set(links) == ifnames(broken))
    eventually(lambda: [record["phase"] for record in records(running)] == ["DETACHING"])
    assert broken.leases()

    plugins.restore("tuning")
    pod.wait_for_no_link(ifname(broken))
    wait_for_nothing_left(running, broken, good)


def test_a_plugin_that_is_being_replaced_is_waited_for(
    agent: AgentFactory, api: ApiServer, node: Node, networks: Networks, plugins: PluginDir
) -> None:
    broken, good = networks.bridge(tuning=True), networks.bridge()
    running = agent()
    pod = node.pod()
    with ExitStack() as replacing:
        replacing.enter_context(plugins.busy("tuning"))
        pod.annotate([broken.name, good.name])
        wait_for_event(api, pod, "NetworkAttachFailed", broken.name, "tuning", "still being written to")
        pod.wait_for_link(ifname(good))
    assert broken.holds(pod.wait_for_link(ifname(broken)).addresses[0])
    wait_for_attached(running, broken, good)
    wait_for_lease(broken, pod)


def test_other_pods_do_not_wait_for_a_plugin_that_hangs(
    agent: AgentFactory, node: Node, networks: Networks, plugins: PluginDir
) -> None:
    broken, good = networks.bridge(tuning=True), networks.bridge()
    plugins.hang("tuning", "ADD")
    running = agent(options={"plugin-timeout": "20s", "workers": 2})
    stuck, beside = node.many(2)
    stuck.annotate([broken.name])
    eventually(plugins.processes, what="the plugin to hang")
    (hanging,) = plugins.processes()

    for wanted in ([good.name], [], [good.name]):
        beside.annotate(wanted)
        beside.wait_for(lambda links, wanted=wanted: set(links) == ifnames(*wanted), timeout=5)
    assert plugins.processes() == [hanging]
    assert "failed" not in running.log()

    # Ended by whoever it is, it counts as failed, and is tried again.
    plugins.restore("tuning")
    processes.end([hanging])
    assert broken.holds(stuck.wait_for_link(ifname(broken)).addresses[0])


def test_failures_are_tried_again_with_growing_delays(
    agent: AgentFactory, node: Node, networks: Networks, plugins: PluginDir
) -> None:
    broken, good = networks.bridge(tuning=True), networks.bridge()
    plugins.fail("tuning", "ADD")
    running = agent()
    pod, beside = node.many(2)
    begun = time.monotonic()
    pod.annotate([broken.name])
    eventually(lambda: len(_failures(running, broken)) == 1)
    # What happens elsewhere, or to the pod beside the matter, is no reason to try earlier.
    beside.annotate([good.name])
    pod.annotate([broken.name, good.name])
    pod.wait_for_link(ifname(good))
    pod.restart_container()
    eventually(lambda: len(_failures(running, broken)) == 3)
    # 1 s and 2 s, each give or take a fifth.
    assert time.monotonic() - begun > 2.4
    assert ["1 s" in line or "2 s" in line for line in _failures(running, broken)[:2]] == [True, True]
    assert any(f"next try in {seconds} s" in _failures(running, broken)[2] for seconds in (3, 4, 5))

    # Another wish is tried at once.
    plugins.restore("tuning")
    pod.annotate([{"name": broken.name, "ifMac": "02:00:00:00:0d:01"}, good.name])
    pod.wait_for_link(ifname(broken), timeout=2)
    assert len(_failures(running, broken)) == 3


def _failures(agent: Agent, network: Network) -> list[str]:
    return [line for line in agent.log().splitlines() if "failed, next try in" in line and network.name in line]


def test_what_a_faulty_definition_left_half_made_goes_once_it_is_mended(
    agent: AgentFactory, api: ApiServer, node: Node, networks: Networks
) -> None:
    network = networks.bridge()
    typo = network.config | {"ipam": network.config["ipam"] | {"type": "host-lokal"}}
    api.patch("networks", network.namespace, network.name, {"spec": {"config": json.dumps(typo)}})
    running = agent()
    pod = node.pod(networks=[network.name])
    wait_for_event(api, pod, "NetworkAttachFailed", network.name, "host-lokal")
    # DEL fails as ADD did, so it stays recorded: what ADD got done is not known.
    assert [record["phase"] for record in records(running)] == ["DETACHING"]

    api.patch("networks", network.namespace, network.name, {"spec": {"config": json.dumps(network.config)}})
    assert network.holds(pod.wait_for_link(ifname(network)).addresses[0])
    wait_for_attached(running, network)
    wait_for_lease(network, pod)
    pod.annotate([])
    wait_for_nothing_left(running, network)
