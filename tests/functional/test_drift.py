"""What something else changed in a pod is repaired; and a node where nothing changes is left in peace."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from functional.bed import Bed
from functional.expectations import ifname, wait_for_event
from functional.outcomes import PINGED, delete_link, plugged, settle
from functional.ways import BOTH_WAYS

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def agent_arguments() -> dict[str, Any]:
    return {"options": {"resync-period": "1s", "log-level": "info"}}


@pytest.mark.promise(
    "Interfaces: somebody deletes an interface in a pod",
    "the next resync attaches it again, and an Event says so",
)
@BOTH_WAYS
def test_a_link_deleted_by_hand_comes_back_with_the_next_resync(bed: Bed) -> None:
    data, red = bed.networks.bridge("data"), bed.networks.bridge("red")
    pod, neighbour = bed.all_attached(2, data, red)
    untouched = (plugged(pod)[ifname(red)], plugged(neighbour))
    delete_link(pod, ifname(data))
    bed.settles({pod: [data, red], neighbour: [data, red]})
    assert (plugged(pod)[ifname(red)], plugged(neighbour)) == untouched
    wait_for_event(bed.api, pod, "NetworkDrifted", ifname(data))


@BOTH_WAYS
def test_without_a_resync_only_a_reload_repairs_a_link_and_unplugging_does_not_need_it(
    own_bed: Callable[..., Bed],
) -> None:
    bed = own_bed(env=PINGED, options={"resync-period": "0"})
    data = bed.networks.bridge("data")
    pod = bed.attached(data)
    settle(bed.agent, time.monotonic() - 60)
    delete_link(pod, ifname(data))
    # Proof that it went on working meanwhile, without looking at this pod.
    other = bed.node.pod(networks=["data"])
    other.wait_for_link(ifname(data))
    assert plugged(pod) == {}
    bed.agent.reload()
    bed.settles({pod: [data], other: [data]})

    delete_link(pod, ifname(data))
    pod.annotate([])
    bed.settles({pod: [], other: [data]})


def test_an_idle_agent_neither_works_nor_logs_nor_runs_plugins(bed: Bed) -> None:
    data = bed.networks.bridge("data")
    pods = bed.all_attached(3, data)
    for pod in pods:
        wait_for_event(bed.api, pod, "NetworkAttached")
    bed.plugins.record("bridge")
    before = [plugged(pod) for pod in pods]
    logged, used, since = bed.agent.log(), bed.agent.cpu_seconds(), time.monotonic()
    time.sleep(4)  # nothing happens: there is nothing to wait for
    assert bed.agent.cpu_seconds() - used < 0.4
    assert bed.agent.log() == logged
    assert bed.plugins.calls() == []
    # The watch ends by itself every half minute, so one may begin here.
    assert [request.verb for request in bed.api.requests.all(since=since)] in ([], ["watch"])
    assert [plugged(pod) for pod in pods] == before
