"""Many pods, and many changes: in the end interfaces and leases equal the annotations, exactly."""

from __future__ import annotations

import random
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from e2e.nodepods import NodePods
from functional.outcomes import settles
from lab.agent import AgentFactory
from lab.networks import Network, Networks

CHURN_PODS, CHURN_NETWORKS, CHURN_PATCHES = 12, 4, 300
MANY_PODS = 100


def test_after_random_churn_interfaces_and_leases_equal_the_annotations(
    pods: NodePods, networks: Networks, agent: AgentFactory
) -> None:
    seed = random.randrange(2**32)
    print(f"random seed {seed}")
    chance = random.Random(seed)
    running = agent()
    all_networks = [networks.bridge() for _ in range(CHURN_NETWORKS)]
    some = pods.many(CHURN_PODS)
    wanted: dict[object, list[Network]] = {pod: [] for pod in some}
    for _ in range(CHURN_PATCHES):
        pod = chance.choice(some)
        wanted[pod] = chance.sample(all_networks, chance.randint(0, CHURN_NETWORKS))
        pod.annotate([network.name for network in wanted[pod]])
    settles(wanted, all_networks, running, 120)


@pytest.mark.once
@pytest.mark.timeout(900)
def test_a_hundred_pods_get_two_networks_each_and_lose_them(
    pods: NodePods, agent: AgentFactory, two: list[Network]
) -> None:
    running = agent()
    many = pods.many(MANY_PODS)
    for networks in two, []:
        started = time.monotonic()
        names = [network.name for network in networks]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda pod, names=names: pod.annotate(names), many))
        settles(dict.fromkeys(many, networks), two, running, 180)
        print(f"{MANY_PODS} pods have {len(networks)} networks each after {time.monotonic() - started:.1f} s")
