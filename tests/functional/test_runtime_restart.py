"""The container runtime is restarted, or away for a while, under the agent."""

from __future__ import annotations

import pytest

from functional.bed import Bed
from functional.expectations import ifname
from functional.outcomes import plugged
from functional.ways import BOTH_RUNTIMES

pytestmark = [pytest.mark.root, BOTH_RUNTIMES]


@pytest.mark.promise(
    "Container runtime: it is away, and containers live on",
    "interfaces stay; detaches go on, attaches follow once it is back",
)
def test_interfaces_live_through_a_restart_of_the_runtime_and_what_changed_meanwhile_is_followed(bed: Bed) -> None:
    data, red = bed.networks.bridge("data"), bed.networks.bridge("red")
    steady, comes, goes, changes = bed.node.many(4)
    for pod in (steady, goes, changes):
        pod.annotate(["data"])
    bed.settles({steady: [data], comes: [], goes: [data], changes: [data]})
    before = plugged(steady)
    bed.plugins.record("bridge")
    with bed.node.runtime.away(keep_containers=True):
        comes.annotate(["data"])
        bed.agent.wait_for_log("does not answer, trying again")
        goes.annotate([])
        changes.annotate(["red"])
        # What is recorded can be detached without the runtime.
        goes.wait_for_no_link(ifname(data))
        bed.agent.wait_for_log(f"pod {comes.namespace}/{comes.name}")
    bed.agent.wait_for_log("answers again")
    bed.settles({steady: [data], comes: [data], goes: [], changes: [red]})
    assert plugged(steady) == before
    # Each one once: neither the pods that changed nor the others are touched again.
    calls = sorted((call.command, call.env["CNI_CONTAINERID"]) for call in bed.plugins.calls())
    assert calls == sorted(
        [("ADD", comes.sandbox_id), ("DEL", goes.sandbox_id), ("DEL", changes.sandbox_id), ("ADD", changes.sandbox_id)]
    )


@pytest.mark.promise(
    "Container runtime: it restarts, and every container dies",
    "replaced sandboxes get their networks; pods that are gone leave no address",
)
def test_sandboxes_that_died_with_the_runtime_are_plugged_again_when_they_are_replaced(bed: Bed) -> None:
    data = bed.networks.bridge("data")
    replaced, deleted, unplugged = bed.all_attached(3, data)
    bed.node.runtime.restart()
    unplugged.annotate([])
    deleted.delete()
    replaced.replace_sandbox()
    bed.settles({replaced: [data]})
    unplugged.replace_sandbox()
    unplugged.annotate(["data"])
    bed.settles({replaced: [data], unplugged: [data]})


@pytest.mark.promise(
    "Container runtime: it hangs, while annotations change",
    "detaches go on, attaches follow once it answers",
)
def test_what_needs_no_runtime_is_done_while_it_hangs_and_the_rest_once_it_answers(bed: Bed) -> None:
    data, red = bed.networks.bridge("data"), bed.networks.bridge("red")
    steady, comes, goes, changes = bed.node.many(4)
    for pod in (steady, goes, changes):
        pod.annotate(["data"])
    bed.settles({steady: [data], comes: [], goes: [data], changes: [data]})
    before = plugged(steady)
    with bed.node.runtime.frozen():
        comes.annotate(["data"])
        changes.annotate(["red"])
        goes.annotate([])
        goes.wait_for_no_link(ifname(data))
    bed.settles({steady: [data], comes: [data], goes: [], changes: [red]})
    assert plugged(steady) == before


def test_starts_and_works_once_the_runtime_is_there(bed: Bed) -> None:
    data = bed.networks.bridge("data")
    bed.agent.stop()
    pod = bed.node.pod(networks=["data"])
    with bed.node.runtime.away(keep_containers=True):
        bed.agent.start()
        bed.agent.wait_for_log("no container runtime answers")
    bed.settles({pod: [data]})
