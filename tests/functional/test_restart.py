"""What a new start of the agent finds changed, unchanged, or damaged."""

from __future__ import annotations

import itertools
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from functional.expectations import ifname
from functional.outcomes import (
    PINGED,
    assert_exactly,
    delete_link,
    plugged,
    record_files,
    restart,
    settle,
    wait_exactly,
)
from functional.ways import BOTH_WAYS
from lab.agent import Agent, AgentFactory
from lab.apiserver import ApiServer
from lab.networks import Networks
from lab.node import Node
from lab.plugins import PluginDir
from lab.waiting import eventually
from podagent.state import recordfile

pytestmark = [pytest.mark.root, BOTH_WAYS]

OTHER_BOOT = "00000000-1111-4222-8333-444444444444"


def test_converges_on_what_was_added_and_removed_while_it_was_down(
    agent: AgentFactory, node: Node, networks: Networks
) -> None:
    data, red = networks.bridge("data"), networks.bridge("red")
    down = agent()
    comes, goes, changes, vanishes = node.many(4)
    for pod in (goes, changes, vanishes):
        pod.annotate(["data"])
    wait_exactly({comes: [], goes: [data], changes: [data], vanishes: [data]}, [data, red], down)
    assert down.stop() == 0
    comes.annotate(["data", "red"])
    goes.annotate([])
    changes.annotate(["red"])
    vanishes.delete()
    created = node.pod(networks=["red"])
    down.start()
    wait_exactly({comes: [data, red], goes: [], changes: [red], created: [red]}, [data, red], down)


def test_detaches_a_network_whose_definition_was_deleted_while_it_was_down(
    agent: AgentFactory, node: Node, networks: Networks
) -> None:
    data = networks.bridge("data")
    down = agent()
    pod = node.pod(networks=["data"])
    wait_exactly({pod: [data]}, [data], down)
    down.stop()
    networks.undefine(data)
    pod.annotate(None)
    down.start()
    wait_exactly({pod: []}, [data], down)


def test_a_pod_made_again_under_its_name_while_it_was_down_is_another_pod(
    agent: AgentFactory, node: Node, networks: Networks
) -> None:
    data = networks.bridge("data")
    down = agent()
    first = node.pod("web", networks=["data"])
    wait_exactly({first: [data]}, [data], down)
    down.stop()
    first.delete(grace=False)
    second = node.pod("web", networks=["data"])
    down.start()
    wait_exactly({second: [data]}, [data], down)
    assert second.uid in str(record_contents(down))
    assert first.uid not in str(record_contents(down))


def record_contents(agent: Agent) -> list[str]:
    return [path.read_text() for path in record_files(agent)]


@pytest.mark.parametrize("ending", ["stopped", "killed"])
def test_a_start_with_everything_in_place_runs_no_plugin_and_touches_no_interface(
    agent: AgentFactory, node: Node, networks: Networks, plugins: PluginDir, ending: str
) -> None:
    made = [networks.bridge("data"), networks.bridge("chained", tuning=True)]
    running = agent(env=PINGED, options={"resync-period": "1s"})
    *pods, probe = node.many(4, networks=["data", "chained"])
    wanted = dict.fromkeys([*pods, probe], made)
    wait_exactly(wanted, made, running)
    before = [plugged(pod) for pod in pods]
    contents = record_contents(running)
    if ending == "stopped":
        assert running.stop() == 0
    else:
        running.kill()
    plugins.record("bridge", "tuning", "host-local")
    restart(running)
    assert plugins.calls() == []
    assert record_contents(running) == contents
    # Once more, after a resync: it was one when it has repaired what is wrong on purpose.
    delete_link(probe, ifname("data"))
    wait_exactly(wanted, made, running)
    assert {call.env["CNI_CONTAINERID"] for call in plugins.calls()} == {probe.sandbox_id}
    assert [plugged(pod) for pod in pods] == before


def test_detaches_nothing_before_the_first_complete_list(
    agent: AgentFactory, node: Node, networks: Networks, plugins: PluginDir, api: ApiServer
) -> None:
    data = networks.bridge("data")
    down = agent(env=PINGED, options={"resync-period": "1s"})
    stays, goes = node.many(2, networks=["data"])
    wait_exactly({stays: [data], goes: [data]}, [data], down)
    down.stop()
    plugins.record("bridge")
    api.fail_next(1_000_000, 503, match="/api/v1/pods")
    refused = api.requests.count("list", "pods")
    down.start()
    goes.delete()
    eventually(lambda: api.requests.count("list", "pods") >= refused + 3, what="some lists to be refused")
    down.reload()
    down.wait_for_log("reloaded")
    assert "Waiting for the list of pods" in down.notifications.status
    assert plugins.calls() == []
    assert len(data.leases()) == 2
    api.stop_failing()
    wait_exactly({stays: [data]}, [data], down)
    assert [call.command for call in plugins.calls()] == ["DEL"]


def test_detaches_nothing_on_half_a_list(
    agent: AgentFactory, node: Node, networks: Networks, plugins: PluginDir, api: ApiServer
) -> None:
    data = networks.bridge("data")
    down = agent(env=PINGED)
    pod = node.pod("on-the-second-page", networks=["data"])
    wait_exactly({pod: [data]}, [data], down)
    down.stop()
    plugins.record("bridge")
    for number in range(510):
        node.pod(f"filler-{number}", start=False)
    pages = itertools.count()
    api.fail_next(3, 503, match=lambda method, path: path == "/api/v1/pods" and next(pages) > 0)
    since = time.monotonic()
    down.start()
    eventually(lambda: api.requests.count("list", "pods", since) >= 3, what="two pages and a new beginning")
    assert plugins.calls() == []
    settle(down, since)
    assert plugins.calls() == []
    assert_exactly({pod: [data]}, [data], down)


def pretend_reboot(agent: Agent) -> None:
    """Rewrites the records of an agent that is down as if they had been written before the last boot."""
    for path in record_files(agent):
        record = recordfile.decode(path.read_bytes())
        path.write_bytes(recordfile.encode(record._replace(boot_id=OTHER_BOOT)))


def test_after_a_reboot_vanished_pods_have_no_lease_and_the_others_are_attached_again(
    agent: AgentFactory, node: Node, networks: Networks
) -> None:
    data = networks.bridge("data")
    down = agent()
    survives, vanishes, unplugged = node.many(3, networks=["data"])
    wait_exactly({survives: [data], vanishes: [data], unplugged: [data]}, [data], down)
    down.kill()
    node.runtime.restart()  # ends every sandbox, as the reboot does
    subprocess.run(["ip", "link", "del", data.bridge], check=True)
    assert len(data.leases()) == 3
    pretend_reboot(down)
    vanishes.delete()
    unplugged.annotate([])
    survives.replace_sandbox()
    unplugged.replace_sandbox()
    down.start()
    wait_exactly({survives: [data], unplugged: []}, [data], down)


def test_after_a_reboot_a_namespace_that_looks_like_a_recorded_one_is_another_pods(
    agent: AgentFactory, node: Node, networks: Networks
) -> None:
    """PIDs and inode numbers begin anew with every boot."""
    data = networks.bridge("data")
    down = agent()
    old, stranger = node.many(2, networks=["data"])
    wait_exactly({old: [data], stranger: [data]}, [data], down)
    before = plugged(stranger)
    down.kill()
    contents = {path: recordfile.decode(path.read_bytes()) for path in record_files(down)}
    ((path, record),) = [item for item in contents.items() if item[1].pod.uid == old.uid]
    (recycled,) = [record.netns for record in contents.values() if record.pod.uid == stranger.uid]
    path.write_bytes(recordfile.encode(record._replace(boot_id=OTHER_BOOT, netns=recycled)))
    old.delete()
    down.start()
    wait_exactly({stranger: [data]}, [data], down)
    assert plugged(stranger) == before


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "truncated": lambda content: content[: len(content) // 2],
    "empty": lambda content: b"",
    "changed": lambda content: content.replace(b'"ATTACHED"', b'"DETACHING"'),
    "of no version": lambda content: content.replace(b'"schema":1', b'"schema":0'),
    "not even text": lambda content: bytes(range(256)),
}


def test_sets_damaged_records_aside_and_goes_on(agent: AgentFactory, node: Node, networks: Networks) -> None:
    data = networks.bridge("data")
    down = agent()
    pods = node.many(len(DAMAGES) + 1, networks=["data"])
    wanted = {pod: [data] for pod in pods}
    wait_exactly(wanted, [data], down)
    before = [plugged(pod) for pod in pods]
    down.stop()
    damaged: dict[str, bytes] = {}
    for path, damage in zip(record_files(down), DAMAGES.values(), strict=False):
        damaged[path.name] = damage(path.read_bytes())
        path.write_bytes(damaged[path.name])
    down.start()
    # What nobody remembers is found in the pods, and adopted.
    wait_exactly(wanted, [data], down)
    assert [plugged(pod) for pod in pods] == before
    kept = {path.name: path.read_bytes() for path in (down.state_dir / "corrupt").iterdir()}
    assert kept == damaged
    assert all(f"record {name} is unusable and was set aside" in down.log() for name in damaged)
    for pod in pods:
        pod.annotate([])
    wait_exactly({pod: [] for pod in pods}, [data], down)


def rewritten(path: Path, old: bytes, new: bytes) -> bytes:
    path.write_bytes(path.read_bytes().replace(old, new))
    return path.read_bytes()


@pytest.mark.parametrize("networks_then", [[], ["data"]], ids=["no longer wanted", "still wanted"])
def test_leaves_alone_what_only_a_newer_version_can_read_until_that_is_back(
    agent: AgentFactory, node: Node, networks: Networks, networks_then: list[str]
) -> None:
    data, red = networks.bridge("data"), networks.bridge("red")
    down = agent()
    pod = node.pod(networks=["data"])
    wait_exactly({pod: [data]}, [data], down)
    before = plugged(pod)[ifname(data)]
    (path,) = record_files(down)
    down.stop()
    content = rewritten(path, b'"schema":1', b'"schema":2')
    pod.annotate([*networks_then, "red"])
    down.start()
    down.wait_for_log(f"record {path} is left as it is, and so is its interface")
    # Whatever is wrong with one interface holds up no other one.
    wait_exactly({pod: [data, red]}, [data, red], down)
    if networks_then:
        down.wait_for_log("install that version again, or move the file away")
    down.stop()
    assert plugged(pod)[ifname(data)] == before
    assert path.read_bytes() == content
    assert list((down.state_dir / "corrupt").iterdir()) == []

    rewritten(path, b'"schema":2', b'"schema":1')
    down.start()
    wait_exactly({pod: [data, red] if networks_then else [red]}, [data, red], down)
    if networks_then:
        assert plugged(pod)[ifname(data)] == before


def test_a_record_cut_short_while_it_was_written_is_no_record(
    agent: AgentFactory, node: Node, networks: Networks
) -> None:
    data = networks.bridge("data")
    down = agent()
    pod = node.pod(networks=["data"])
    wait_exactly({pod: [data]}, [data], down)
    down.kill()
    (path,) = record_files(down)
    half: Path = path.with_suffix(".new")
    half.write_bytes(path.read_bytes()[:40])
    down.start()
    wait_exactly({pod: [data]}, [data], down)
    assert not half.exists()
    pod.annotate([])
    pod.wait_for_no_link(ifname(data))
