"""What a new start of the agent finds changed, unchanged, or damaged."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from typing import Any

import pytest

from functional.bed import Bed
from functional.expectations import ifname
from functional.outcomes import PINGED, assert_exactly, delete_link, plugged, record_files, restart, settle
from functional.ways import BOTH_RUNTIMES, BOTH_WAYS
from lab.agent import Agent
from lab.pins import remove_pins
from lab.waiting import eventually
from podagent.state import recordfile

pytestmark = [pytest.mark.root, BOTH_RUNTIMES]

OTHER_BOOT = "00000000-1111-4222-8333-444444444444"
OFTEN = {"env": PINGED, "options": {"resync-period": "1s"}}


@pytest.fixture(scope="module")
def agent_arguments() -> dict[str, Any]:
    return {"env": PINGED}


def record_contents(agent: Agent) -> list[str]:
    return [path.read_text() for path in record_files(agent)]


# --- what changed meanwhile ----------------------------------------------------------------------------------------


@BOTH_WAYS
def test_detaches_a_network_whose_definition_was_deleted_while_it_was_down(bed: Bed) -> None:
    data = bed.networks.bridge("data")
    pod = bed.attached(data)
    bed.agent.stop()
    bed.networks.undefine(data)
    pod.annotate(None)
    bed.agent.start()
    bed.settles({pod: []})


def test_a_pod_made_again_under_its_name_while_it_was_down_is_another_pod(bed: Bed) -> None:
    data = bed.networks.bridge("data")
    first = bed.node.pod("web", networks=["data"])
    bed.settles({first: [data]})
    bed.agent.stop()
    first.delete(grace=False)
    second = bed.node.pod("web", networks=["data"])
    bed.agent.start()
    bed.settles({second: [data]})
    (content,) = record_contents(bed.agent)
    assert second.uid in content
    assert first.uid not in content


@pytest.mark.promise(
    "Agent: the agent is stopped or killed, and nothing else changes",
    "the next start runs no plugin and touches no interface",
)
@BOTH_WAYS
def test_a_start_with_everything_in_place_runs_no_plugin_and_touches_no_interface(own_bed: Callable[..., Bed]) -> None:
    bed = own_bed(**OFTEN)
    running, made = bed.agent, [bed.networks.bridge("data"), bed.networks.bridge("chained", tuning=True)]
    steady, probe = bed.node.many(2, networks=["data", "chained"])
    bed.settles({steady: made, probe: made})
    before, contents = plugged(steady), record_contents(running)
    bed.plugins.record("bridge", "tuning", "host-local")
    for end in (running.stop, running.kill):
        end()
        restart(running)
        assert bed.plugins.calls() == []
        assert record_contents(running) == contents
    # Once more, after a resync: it was one when it has repaired what is wrong on purpose.
    delete_link(probe, ifname("data"))
    bed.settles({steady: made, probe: made})
    assert {call.env["CNI_CONTAINERID"] for call in bed.plugins.calls()} == {probe.sandbox_id}
    assert plugged(steady) == before


# --- the first list ------------------------------------------------------------------------------------------------


@pytest.mark.promise(
    "API server: the list of pods is refused at the start",
    "nothing is detached until a list is complete",
)
def test_detaches_nothing_before_the_first_complete_list(own_bed: Callable[..., Bed]) -> None:
    bed = own_bed(**OFTEN)
    down, data = bed.agent, bed.networks.bridge("data")
    stays, goes = bed.all_attached(2, data)
    down.stop()
    bed.plugins.record("bridge")
    bed.api.fail_next(1_000_000, 503, "/api/v1/pods")
    since = time.monotonic()
    down.start()
    goes.delete()
    eventually(lambda: bed.api.requests.count("list", "pods", since) >= 3, what="some lists to be refused")
    down.reload()
    down.wait_for_log("reloaded")
    assert "Waiting for the list of pods" in down.notifications.status
    assert bed.plugins.calls() == []
    assert len(data.leases()) == 2
    bed.api.stop_failing()
    bed.settles({stays: [data]})
    assert [call.command for call in bed.plugins.calls()] == ["DEL"]


@pytest.mark.promise(
    "API server: a list of pods breaks off after its first page",
    "no pod of the missing pages is detached",
)
def test_detaches_nothing_on_half_a_list(bed: Bed) -> None:
    down, data = bed.agent, bed.networks.bridge("data")
    pod = bed.node.pod("on-the-second-page", networks=["data"])
    bed.settles({pod: [data]})
    down.stop()
    bed.plugins.record("bridge")
    fillers = [f"filler-{number}" for number in range(510)]
    for name in fillers:
        spec = {"nodeName": bed.node.name, "containers": []}
        bed.api.create({"kind": "Pod", "metadata": {"name": name}, "spec": spec, "status": {"phase": "Pending"}})
    bed.api.fail_next(3, 503, "continue=")
    since = time.monotonic()
    down.start()
    eventually(lambda: bed.api.requests.count("list", "pods", since) >= 3, what="two pages and a new beginning")
    assert bed.plugins.calls() == []
    settle(down, since)
    assert bed.plugins.calls() == []
    assert_exactly({pod: [data]}, [data], down)
    for name in fillers:
        bed.api.delete("pods", "default", name)


# --- a reboot ------------------------------------------------------------------------------------------------------


@BOTH_WAYS
def test_after_a_reboot_vanished_pods_have_no_lease_and_the_others_are_attached_again(bed: Bed) -> None:
    data = bed.networks.bridge("data")
    survives, vanishes, unplugged = bed.all_attached(3, data)
    bed.agent.kill()
    bed.node.runtime.restart()  # ends every sandbox, as the reboot does
    remove_pins(bed.agent.state_dir)  # they are on a tmpfs
    subprocess.run(["ip", "link", "del", data.bridge], check=True)
    assert len(data.leases()) == 3
    for path in record_files(bed.agent):
        record = recordfile.decode(path.read_bytes())
        path.write_bytes(recordfile.encode(record._replace(boot_id=OTHER_BOOT)))
    vanishes.delete()
    unplugged.annotate([])
    survives.replace_sandbox()
    unplugged.replace_sandbox()
    bed.agent.start()
    bed.settles({survives: [data], unplugged: []})


def test_after_a_reboot_a_namespace_that_looks_like_a_recorded_one_is_another_pods(bed: Bed) -> None:
    """PIDs and inode numbers start again with every boot."""
    data = bed.networks.bridge("data")
    old, stranger = bed.all_attached(2, data)
    before = plugged(stranger)
    bed.agent.kill()
    contents = {path: recordfile.decode(path.read_bytes()) for path in record_files(bed.agent)}
    ((path, record),) = [item for item in contents.items() if item[1].pod.uid == old.uid]
    (recycled,) = [record.netns for record in contents.values() if record.pod.uid == stranger.uid]
    path.write_bytes(recordfile.encode(record._replace(boot_id=OTHER_BOOT, netns=recycled)))
    old.delete()
    bed.agent.start()
    bed.settles({stranger: [data]})
    assert plugged(stranger) == before


# --- records -------------------------------------------------------------------------------------------------------


@pytest.mark.promise(
    "State directory: records are damaged or half written",
    "they are set aside; the interfaces are found in the pods and adopted",
)
@BOTH_WAYS
def test_sets_damaged_records_aside_drops_half_written_ones_and_goes_on(bed: Bed) -> None:
    down, made = bed.agent, [bed.networks.bridge("data"), bed.networks.bridge("red")]
    pods = bed.node.many(3, networks=["data", "red"])
    wanted = dict.fromkeys(pods, made)
    bed.settles(wanted)
    before = [plugged(pod) for pod in pods]
    down.kill()
    *files, last = record_files(down)
    half = last.with_suffix(".new")
    half.write_bytes(last.read_bytes()[:40])
    damaged = {path.name: path.read_bytes()[:100] for path in files}
    for path in files:
        path.write_bytes(damaged[path.name])
    down.start()
    # What no record remembers is found in the pods, and adopted.
    bed.settles(wanted)
    assert [plugged(pod) for pod in pods] == before
    assert not half.exists()
    assert {path.name: path.read_bytes() for path in (down.state_dir / "corrupt").iterdir()} == damaged
    assert all(f"record {name} is unusable and was set aside" in down.log() for name in damaged)
    for pod in pods:
        pod.annotate([])
    bed.settles({pod: [] for pod in pods})


@pytest.mark.promise(
    "State directory: a newer version wrote a record in another format",
    "the agent does not start, names the file and touches nothing",
)
def test_does_not_start_on_what_only_a_newer_version_can_read_and_touches_nothing(
    own_bed: Callable[..., Bed],
) -> None:
    bed = own_bed()
    down, data, red = bed.agent, bed.networks.bridge("data"), bed.networks.bridge("red")
    wanted, unwanted = bed.all_attached(2, data)
    before = plugged(wanted), plugged(unwanted)
    down.stop()
    first, _ = record_files(down)
    newer = first.read_bytes().replace(b'"schema":1', b'"schema":2')
    first.write_bytes(newer)
    wanted.annotate(["data", "red"])
    unwanted.annotate([])
    down.start(wait=False)
    eventually(lambda: down.ended_by_itself, what="the agent to end")
    assert down.stop() == 2
    assert f"podagent: {first} was written by a newer podagent" in down.log()
    assert "install that version again, or move the file out" in down.log()
    assert (plugged(wanted), plugged(unwanted)) == before
    assert first.read_bytes() == newer
    first.write_bytes(newer.replace(b'"schema":2', b'"schema":1'))
    down.start()
    bed.settles({wanted: [data, red], unwanted: []})
