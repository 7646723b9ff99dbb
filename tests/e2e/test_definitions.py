"""The API server's own watch of network definitions."""

from __future__ import annotations

from kubernetes import client

from e2e.cluster.objects import Objects
from e2e.nodepods import NodePods
from functional.expectations import ifname, wait_for_line
from functional.outcomes import settles
from lab.agent import AgentFactory
from lab.networks import Networks, definition
from lab.waiting import eventually


def test_a_network_is_attached_at_once_when_its_definition_is_made(
    pods: NodePods, networks: Networks, agent: AgentFactory, api: client.CoreV1Api
) -> None:
    running = agent()
    late = networks.bridge()
    networks.undefine(late)
    pod = pods.make()
    pod.annotate([late.name])
    wait_for_line(running, late.name, "still failing after 4 tries", timeout=40)
    Objects(api.api_client).create(definition(late.name, late.namespace, "bridge", late.config))
    eventually(lambda: ifname(late) in pod.links(), 4, "the network, before its next try")
    settles({pod: [late]}, [late], running)
