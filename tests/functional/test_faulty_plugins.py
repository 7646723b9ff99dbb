"""Plugins that misbehave: bounded, reported, tried again with growing delays, and nobody else waits for them.

`broken` is a network of the bridge and the tuning plugin in a chain, and it is tuning that misbehaves: by then the
bridge plugin has made an interface and taken a lease.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import pytest

from functional.bed import Bed
from functional.expectations import ifname, records, wait_for_event, wait_for_line
from functional.outcomes import plugged
from functional.ways import BOTH_WAYS, ONLY_KACTUS
from lab import pluginscripts, processes
from lab.waiting import eventually

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def agent_arguments() -> dict[str, Any]:
    return {"options": {"plugin-timeout": "2s"}}


# What the plugin does instead of its work, and what is reported.
FAULTS = {
    "hangs": (pluginscripts.HANG, "did not end within 2 s"),
    "leaves a child that hangs": (pluginscripts.HANG_GRANDCHILD, "printed nothing"),
    "fails": (
        """echo '{"cniVersion": "0.4.0", "code": 11, "msg": "not now", "details": "later"}'; exit 1""",
        "not now (later) [code 11]",
    ),
    "fails silently": ("echo lost the link >&2; exit 1", "lost the link"),
    "prints rubbish": ("echo surely not JSON {", "surely not JSON"),
    "prints 100 MB": ("head -c 100000000 /dev/zero | tr '\\0' x", "more than 4 MiB"),
    "dies": ("kill -SEGV $$", "SIGSEGV"),
}
# kactus runs plugins with the same code as the agent: two faults show how it hands a failure on.
BY_KACTUS = [("kactus", "hangs"), ("kactus", "fails")]
FAILED_ADDS = [*(("delegate", fault) for fault in FAULTS), *BY_KACTUS]
# On DEL, the output of a plugin does not matter.
FAILED_DELS = [*(("delegate", fault) for fault in ("hangs", "fails", "dies")), *BY_KACTUS]


@pytest.mark.promise(
    "Plugins: a plugin hangs, fails, dies, prints rubbish or floods its output on ADD",
    "the ADD is bounded, reported, undone and retried; the other networks of the pod are attached",
)
@pytest.mark.parametrize(("via", "fault"), FAILED_ADDS, indirect=["via"])
def test_a_failed_attach_is_reported_undone_and_made_good_later(bed: Bed, fault: str) -> None:
    broken, good = bed.networks.bridge(tuning=True), bed.networks.bridge()
    script, words = FAULTS[fault]
    bed.plugins.breaks("tuning", "ADD", script=script)
    pod = bed.node.pod()
    pod.annotate([broken.name, good.name])

    reported = wait_for_event(bed.api, pod, "NetworkAttachFailed", broken.name, words, timeout=10)
    assert len(reported) < 1000
    wait_for_line(bed.agent, f"pod default/{pod.name} failed, next try in 1 s", broken.name, words)
    attached = pod.wait_for_link(ifname(good), timeout=5)
    eventually(lambda: not bed.plugins.processes(), 3, "all processes of the plugin to be ended")

    bed.plugins.restore("tuning")
    bed.settles({pod: [broken, good]})
    assert plugged(pod)[ifname(good)] == attached


@pytest.mark.promise(
    "Plugins: a plugin of a chain hangs, fails or dies on DEL",
    "the failure is reported, DEL is retried, and the other plugins give interface and address back",
)
@pytest.mark.parametrize(("via", "fault"), FAILED_DELS, indirect=["via"])
def test_a_failed_detach_is_reported_and_the_rest_of_the_chain_is_detached(bed: Bed, fault: str) -> None:
    broken, good = bed.networks.bridge(tuning=True), bed.networks.bridge()
    pod = bed.attached(good, broken)

    script, words = FAULTS[fault]
    bed.plugins.breaks("tuning", "DEL", script=script)
    pod.annotate([])
    wait_for_event(bed.api, pod, "NetworkDetachFailed", broken.name, words, timeout=10)
    wait_for_line(bed.agent, f"pod default/{pod.name} failed, next try in", broken.name, words)
    eventually(lambda: broken.leases() == [], 20, "the other plugin to give the address back")
    pod.wait_for_no_link(ifname(broken))
    bed.plugins.restore("tuning")
    bed.settles({pod: []}, 30)


@ONLY_KACTUS
def test_an_interface_whose_add_fails_late_with_file_exists_is_not_taken_for_the_kubelets(bed: Bed) -> None:
    broken = bed.networks.bridge(tuning=True)
    bed.plugins.fail("tuning", "ADD", "DEL", code=100, msg="failed to add route 192.0.2.0/24: file exists")
    pod = bed.node.pod(networks=[broken.name])
    wait_for_line(bed.agent, broken.name, "still failing after 2 tries", "file exists")
    eventually(lambda: broken.leases() == [], what="the address to be given back")
    bed.plugins.restore("tuning")
    bed.settles({pod: [broken]})
    assert not any(record["adopted"] for record in records(bed.agent))
    assert "adopted" not in bed.agent.log()


@BOTH_WAYS
def test_a_plugin_of_a_former_life_that_hangs_is_ended(bed: Bed) -> None:
    data = bed.networks.bridge("data")
    bed.plugins.breaks("bridge", "ADD", script=pluginscripts.HANG)
    pod = bed.node.pod(networks=["data"])
    hanging = eventually(bed.plugins.processes, what="the plugin to run")
    bed.agent.kill()
    bed.plugins.restore("bridge")
    bed.agent.start()
    bed.settles({pod: [data]})
    assert not any(map(processes.is_alive, hanging))


@pytest.mark.promise("Plugins: a plugin hangs for one pod", "other pods are attached and detached meanwhile")
def test_other_pods_do_not_wait_for_a_plugin_that_hangs(own_bed: Callable[..., Bed]) -> None:
    bed = own_bed(options={"plugin-timeout": "20s", "workers": 4})
    broken, good = bed.networks.bridge(tuning=True), bed.networks.bridge()
    bed.plugins.breaks("tuning", "ADD", script=pluginscripts.HANG)
    stuck, beside = bed.node.many(2)
    stuck.annotate([broken.name])
    (hanging,) = eventually(bed.plugins.processes, what="the plugin to hang")

    for _ in range(2):
        beside.annotate([good.name])
        beside.wait_for_link(ifname(good), timeout=5)
        beside.annotate([])
        beside.wait_for_no_link(ifname(good), timeout=5)
    assert bed.plugins.processes() == [hanging]
    assert "failed" not in bed.agent.log()

    # Ended by whoever it is, it counts as failed, and is tried again.
    bed.plugins.restore("tuning")
    processes.end([hanging])
    bed.settles({stuck: [broken], beside: []})


@pytest.mark.promise(
    "Plugins: a plugin fails again and again",
    "it is retried with growing delays; a changed annotation is tried at once",
)
def test_failures_are_tried_again_with_growing_delays_and_another_wish_at_once(bed: Bed) -> None:
    broken, good = bed.networks.bridge(tuning=True), bed.networks.bridge()
    bed.plugins.fail("tuning", "ADD")
    pod, beside = bed.node.many(2)

    def failures() -> list[str]:
        lines = bed.agent.log().splitlines()
        return [line for line in lines if "next try in" in line and broken.name in line]

    begun = time.monotonic()
    pod.annotate([broken.name])
    eventually(lambda: len(failures()) == 1)
    # Changes of another pod, or of other things in this one, are no reason to try earlier.
    beside.annotate([good.name])
    pod.annotate([broken.name, good.name])
    pod.wait_for_link(ifname(good))
    pod.restart_container()
    eventually(lambda: len(failures()) == 3)
    # The first, second and fourth: after 1 s, 2 s and 4 s, each give or take a fifth.
    assert time.monotonic() - begun > 5.6
    announced = [int(re.findall(r"next try in (\d+) s", line)[0]) for line in failures()]
    assert all(seconds in allowed for seconds, allowed in zip(announced, ([1], [2], range(6, 11)), strict=True))

    bed.plugins.restore("tuning")
    pod.annotate([{"name": broken.name, "ifMac": "02:00:00:00:0d:01"}, good.name])
    pod.wait_for_link(ifname(broken), timeout=2)
    assert len(failures()) == 3
