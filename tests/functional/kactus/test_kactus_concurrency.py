"""Many calls at once: of many containers, and of the kubelet and the agent for the same one."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from functional.expectations import ifname
from functional.kactus.sandboxes import Sandbox, SandboxFactory
from lab.kactus import Kactus, Running
from lab.networks import Network, Networks

pytestmark = pytest.mark.root

CONTAINERS, AT_A_TIME = 40, 8
ROUNDS = 15
LONGEST_OFFSET_S = 0.05


def test_forty_containers_at_once_get_their_own_interfaces_and_leave_nothing(
    sandbox: SandboxFactory, networks: Networks, master: Network, kactus: Kactus
) -> None:
    red = networks.bridge()
    pods = [sandbox([{"name": red.name}]) for _ in range(CONTAINERS)]
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        answers = list(pool.map(Sandbox.start, pods))
        assert [answer for answer in answers if not answer.ok] == []
        for pod in pods:
            assert set(pod.links()) == {"eth0", ifname(red)}
            assert pod.saved_names() == ["default", red.name]
        for network in (master, red):
            holders = Counter(lease.container_id for lease in network.leases())
            assert holders == Counter(pod.id for pod in pods)
            given = [address for pod in pods for link in pod.links().values() for address in link.addresses]
            assert len(set(given)) == len(given) == 2 * CONTAINERS
        assert all(answer.ok for answer in pool.map(Sandbox.end, pods))
    for pod in pods:
        pod.assert_nothing_left()
    assert kactus.files() == []
    assert master.leases() + red.leases() == []


def assert_whole(pod: Sandbox, red: Network) -> None:
    """The network is attached with all that belongs to it, or not at all."""
    attached = ifname(red) in pod.links()
    assert pod.leases(red) == ([ifname(red)] if attached else [])
    kept = [each for each in pod.saved or [] if each.get("networkName") == red.name]
    assert len(kept) == attached
    assert not any(key.startswith("kactusAdding") for each in kept for key in each)


def test_a_full_delete_beside_the_agents_calls_for_the_same_container_leaves_nothing(
    sandbox: SandboxFactory, networks: Networks
) -> None:
    red, green = networks.bridge(), networks.bridge()
    pod = sandbox([])
    calls: list[Callable[[], Running]]
    calls = [pod.begin_end, partial(pod.begin_attach, red), partial(pod.begin_detach, green)]
    chance = random.Random(7)
    for _ in range(ROUNDS):
        assert pod.start().ok
        assert pod.attach(green).ok
        running = []
        for call in chance.sample(calls, len(calls)):
            running.append(call())
            time.sleep(chance.uniform(0, LONGEST_OFFSET_S))
        answers = [each.answer() for each in running]
        assert [answer for answer in answers if not answer.ok] == []
        assert_whole(pod, red)
        assert_whole(pod, green)
        assert pod.end().ok
        pod.assert_nothing_left()


def test_one_network_attached_several_times_at_once_is_attached_once_and_whole_beside_a_detach(
    sandbox: SandboxFactory, networks: Networks
) -> None:
    red = networks.bridge()
    pod = sandbox([])
    answers = [each.answer() for each in [pod.begin_attach(red) for _ in range(4)]]
    assert [answer.printed for answer in answers] == [answers[0].printed] * 4
    assert answers[0].ok
    assert pod.leases() == [ifname(red)]
    for _ in range(5):
        running = [call(red) for call in (pod.begin_attach, pod.begin_detach, pod.begin_attach, pod.begin_detach)]
        assert all(each.answer().ok for each in running)
        assert_whole(pod, red)
