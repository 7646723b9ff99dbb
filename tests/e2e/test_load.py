"""Many pods, and many changes: in the end interfaces and leases equal the annotations, exactly."""

from __future__ import annotations

import random
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from e2e.nodepods import NodePods
from functional.outcomes import wait_exactly
from lab.agent import AgentFactory
from lab.networks import Networks

pytestmark = pytest.mark.load

CHURN_PODS, CHURN_NETWORKS, CHURN_PATCHES = 12, 4, 300
MANY_PODS = 100


@pytest.mark.timeout(600)
def test_after_random_churn_interfaces_and_leases_equal_the_annotations(
    pods: NodePods, networks: Networks, agent: AgentFactory
) -> None:
    seed = random.randrange(2**32)
    print(f"random seed {seed}")
    chance = random.Random(seed)
    running = agent()
    all_networks = [networks.bridge() for _ in range(CHURN_NETWORKS)]
    some = pods.many(CHURN_PODS)
    wanted = {pod: [] for pod in some}
    for _ in range(CHURN_PATCHES):
        pod = chance.choice(some)
        wanted[pod] = chance.sample(all_networks, chance.randint(0, CHURN_NETWORKS))
        pod.annotate([network.name for network in wanted[pod]])
    wait_exactly(wanted, all_networks, running, 120)


@pytest.mark.timeout(900)
def test_a_hundred_pods_get_two_networks_each_and_lose_them(
    pods: NodePods, networks: Networks, agent: AgentFactory
) -> None:
    running = agent()
    two = [networks.bridge(), networks.bridge()]
    many = pods.many(MANY_PODS)

    def annotate_all(names: list[str]) -> float:
        """Returns the seconds until all is as wanted."""
        started = time.monotonic()
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda pod: pod.annotate(names), many))
        wait_exactly(dict.fromkeys(many, two if names else []), two, running, 180)
        return time.monotonic() - started

    print(f"{MANY_PODS} pods, two networks each: attached within {annotate_all([n.name for n in two]):.1f} s")
    print(f"detached within {annotate_all([]):.1f} s")
