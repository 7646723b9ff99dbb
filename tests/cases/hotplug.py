"""Networks come and go with the annotation of a running pod.

The modules that collect these cases have the fixtures `pods`, `networks` and `agent`, each for a node of its own kind.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import pytest

from functional.expectations import ifname, wait_for_line
from functional.outcomes import Plugged, plugged, settles
from lab.agent import AgentFactory
from lab.links import Links
from lab.networks import Networks

MAC, OTHER_MAC = "02:00:00:00:0a:01", "02:00:00:00:0a:02"


class AnyPod(Plugged, Protocol):
    name: str

    def wait_for(self, predicate: Callable[[Links], Any]) -> Links: ...

    def annotate(self, networks: list[Any] | str | None) -> None: ...

    def delete(self) -> None:
        """Returns when its object and containers are gone."""


class AnyPods(Protocol):
    def make(self, *, networks: list[Any] | None = None) -> AnyPod:
        """Makes a pod and waits until it runs; `networks`: names or entries of its annotation."""


def test_several_networks_come_and_go_at_once(pods: AnyPods, networks: Networks, agent: AgentFactory) -> None:
    made = [networks.bridge() for _ in range(3)]
    staying = made[0]
    running, pod = agent(), pods.make()

    pod.annotate([network.name for network in made])
    settles({pod: made}, made, running)
    before = plugged(pod)[ifname(staying)]

    pod.annotate([staying.name])
    settles({pod: [staying]}, made, running)
    assert plugged(pod)[ifname(staying)] == before

    pod.annotate(None)
    settles({pod: []}, made, running)


def test_networks_annotated_from_the_start_are_attached(pods: AnyPods, networks: Networks, agent: AgentFactory) -> None:
    made = [networks.bridge(), networks.bridge(tuning=True)]
    running = agent()
    settles({pods.make(networks=[network.name for network in made]): made}, made, running)


def test_an_interface_has_the_requested_mac(pods: AnyPods, networks: Networks, agent: AgentFactory) -> None:
    plain, chained = made = [networks.bridge(), networks.bridge(tuning=True)]
    running, pod = agent(), pods.make()
    pod.annotate([{"name": plain.name, "ifMac": MAC.upper()}, {"name": chained.name, "ifMac": OTHER_MAC}])
    settles({pod: made}, made, running)
    assert {name: link.mac for name, link in plugged(pod).items()} == {ifname(plain): MAC, ifname(chained): OTHER_MAC}


def test_a_network_is_attached_again_when_its_mac_changes(
    pods: AnyPods, networks: Networks, agent: AgentFactory
) -> None:
    changing, beside = made = [networks.bridge(), networks.bridge()]
    running, pod = agent(), pods.make(networks=[{"name": changing.name, "ifMac": MAC}, beside.name])
    settles({pod: made}, made, running)
    before = plugged(pod)
    assert before[ifname(changing)].mac == MAC

    pod.annotate([{"name": changing.name, "ifMac": OTHER_MAC}, beside.name])
    pod.wait_for(lambda links: ifname(changing) in links and links[ifname(changing)].mac == OTHER_MAC)
    settles({pod: made}, made, running)
    assert plugged(pod)[ifname(beside)] == before[ifname(beside)]


def test_a_deleted_pod_leaves_neither_interface_nor_lease(
    pods: AnyPods, networks: Networks, agent: AgentFactory
) -> None:
    data, red = made = [networks.bridge(), networks.bridge(tuning=True)]
    running = agent()
    pod, beside = pods.make(networks=[data.name, red.name]), pods.make(networks=[data.name])
    settles({pod: made, beside: [data]}, made, running)
    before = plugged(beside)

    pod.delete()
    settles({beside: [data]}, made, running)
    assert plugged(beside) == before


@pytest.mark.promise(
    "Agent: annotations change, pods come and go while the agent is stopped",
    "the next start follows all of it; what did not change is not touched",
)
def test_changes_while_the_agent_was_away_are_followed(pods: AnyPods, networks: Networks, agent: AgentFactory) -> None:
    data, red = made = [networks.bridge(), networks.bridge()]
    away = agent()
    comes, goes, changes, vanishes = (pods.make(networks=names) for names in ([], *[[data.name]] * 3))
    settles({comes: [], goes: [data], changes: [data], vanishes: [data]}, made, away)
    before = plugged(changes)

    assert away.stop() == 0
    comes.annotate([data.name, red.name])
    goes.annotate([])
    changes.annotate([data.name, red.name])
    vanishes.delete()
    created = pods.make(networks=[red.name])
    away.start()
    settles({comes: made, goes: [], changes: made, created: [red]}, made, away)
    assert plugged(changes)[ifname(data)] == before[ifname(data)]


@pytest.mark.promise("Annotations: an annotation is not JSON", "interfaces stay as they are until it is corrected")
def test_an_unreadable_annotation_touches_nothing(pods: AnyPods, networks: Networks, agent: AgentFactory) -> None:
    data, red = made = [networks.bridge(), networks.bridge()]
    running, pod = agent(), pods.make(networks=[data.name])
    settles({pod: [data]}, made, running)
    before = plugged(pod)

    pod.annotate('[{"name": ')
    wait_for_line(running, pod.name, "networks is not valid JSON")
    assert plugged(pod) == before

    pod.annotate([data.name, red.name])
    settles({pod: made}, made, running)
    assert plugged(pod)[ifname(data)] == before[ifname(data)]
