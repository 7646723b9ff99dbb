"""Somebody removes or renames the state directory of a running agent: nothing is forgotten, no second agent gets in."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from pathlib import Path

import pytest

from functional.bed import Bed
from functional.expectations import ifname, records, wait_for_event
from functional.outcomes import PINGED, plugged, record_files, restart
from functional.ways import BOTH_WAYS
from lab.agent import Agent
from lab.waiting import eventually

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def agent_arguments() -> dict[str, object]:
    return {"env": PINGED}


def assert_refused(first: Agent, directory: Path) -> None:
    """A second agent ends at once when it is started on the directory."""
    options = first.options | {"state-dir": str(directory)}
    # The options win.
    made = Agent(first.directory / "second", kubeconfig="", docker_endpoint="", cni_bin_path="", options=options)
    with closing(made) as second:
        second.start(wait=False)
        eventually(lambda: second.ended_by_itself, 30, "the second agent to end")
        assert "is in use by another podagent" in second.log()
        assert second.stop() == 1
        assert second.notifications.all("READY") == []
    shutil.rmtree(first.directory / "second")


@pytest.mark.promise(
    "State directory: the directory is removed or renamed while the agent runs; a second agent starts",
    "it is written again from memory; the second agent is refused",
)
@BOTH_WAYS
def test_a_directory_removed_at_run_time_is_written_again_while_a_second_agent_is_refused(bed: Bed) -> None:
    running, data, red = bed.agent, bed.networks.bridge("data"), bed.networks.bridge("red")
    stays, changes = bed.all_attached(2, data)
    before, state = plugged(stays), running.state_dir
    shutil.rmtree(state)
    assert_refused(running, state)
    changes.annotate(["red"])
    bed.settles({stays: [data], changes: [red]})
    running.wait_for_log(f"state directory {state} was removed or replaced while the agent ran: its 2 records")
    state.rename(state.with_name("renamed"))
    assert_refused(running, state.with_name("renamed"))
    changes.annotate(["red", "data"])
    bed.settles({stays: [data], changes: [red, data]})
    shutil.rmtree(state.with_name("renamed"))
    assert_refused(running, state)
    bed.plugins.record("bridge")
    running.stop()
    restart(running)
    assert bed.plugins.calls() == []
    bed.settles({stays: [data], changes: [red, data]})
    assert plugged(stays) == before


@pytest.mark.promise(
    "State directory: the directory cannot be made",
    "networks are detached but not attached, and the status is Degraded",
)
def test_without_a_directory_networks_are_detached_but_not_attached_until_it_can_be_made(bed: Bed) -> None:
    running, data = bed.agent, bed.networks.bridge("data")
    leaves, stays, comes = bed.node.many(3, networks=["data"])
    comes.annotate([])
    bed.settles({leaves: [data], stays: [data], comes: []})
    shutil.rmtree(running.state_dir)
    running.state_dir.touch()
    comes.annotate(["data"])
    leaves.annotate([])
    eventually(lambda: not plugged(leaves), what="the network to be detached")
    wait_for_event(bed.api, comes, "NetworkAttachFailed", str(running.state_dir))
    assert plugged(comes) == {}
    assert set(plugged(stays)) == {ifname(data)}
    eventually(lambda: running.notifications.status.startswith(f"Degraded: state directory {running.state_dir}"))
    running.state_dir.unlink()
    bed.settles({leaves: [], stays: [data], comes: [data]}, 40)
    assert len(record_files(running)) == 2
    eventually(lambda: running.notifications.status.startswith("3 pods, 2 attachments"))


def test_a_directory_unmounted_at_run_time_is_written_again(bed: Bed) -> None:
    running, data, state = bed.agent, bed.networks.bridge("data"), bed.agent.state_dir
    running.stop()
    subprocess.run(["mount", "-t", "tmpfs", "podagent-lab", str(state)], check=True)
    try:
        running.start()
        stays = bed.attached(data)
    finally:
        subprocess.run(["umount", "--lazy", str(state)], check=True)
    before = plugged(stays)
    comes = bed.node.pod(networks=["data"])
    bed.settles({stays: [data], comes: [data]})
    assert_refused(running, state)
    bed.plugins.record("bridge")
    running.stop()
    restart(running)
    assert bed.plugins.calls() == []
    bed.settles({stays: [data], comes: [data]})
    assert plugged(stays) == before


@contextmanager
def state_on_a_small_disk(bed: Bed) -> Iterator[Path]:
    """The agent's state directory is a file system of 1 MiB."""
    state = bed.agent.state_dir
    bed.agent.stop()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "podagent-lab", str(state)], check=True)
    try:
        bed.agent.start()
        yield state
    finally:
        subprocess.run(["umount", "--lazy", str(state)], check=True)


@contextmanager
def full(state: Path) -> Iterator[None]:
    with suppress(OSError), (state / "filling").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    yield
    (state / "filling").unlink()


@contextmanager
def read_only(state: Path) -> Iterator[None]:
    subprocess.run(["mount", "-o", "remount,ro", str(state)], check=True)
    yield
    subprocess.run(["mount", "-o", "remount,rw", str(state)], check=True)


@pytest.mark.promise(
    "State directory: the disk becomes full or read-only",
    "unplugging and the end of a pod give link and address back; nothing is attached; it heals by itself",
)
@BOTH_WAYS
@pytest.mark.parametrize("unwritable", [full, read_only])
def test_on_an_unwritable_disk_networks_are_detached_but_not_attached(
    bed: Bed, unwritable: Callable[[Path], AbstractContextManager[None]]
) -> None:
    data, red = bed.networks.bridge("data"), bed.networks.bridge("red")
    with state_on_a_small_disk(bed) as state:
        unplugged, ends, comes = bed.all_attached(3, data)
        with unwritable(state):
            unplugged.annotate([])
            ends.delete()
            eventually(lambda: len(data.leases()) == 1 and not plugged(unplugged), 20, "the addresses to be given back")
        eventually(lambda: len(record_files(bed.agent)) == 1, 20, "the records, which take space, to be removed")
        with unwritable(state):
            comes.annotate(["data", "red"])
            wait_for_event(bed.api, comes, "NetworkAttachFailed", "red", str(state))
            assert set(plugged(comes)) == {ifname(data)}
            assert red.leases() == []
        bed.settles({unplugged: [], comes: [data, red]}, 40)


def test_the_last_records_are_rewritten_on_a_full_disk(bed: Bed) -> None:
    data = bed.networks.bridge("data")
    with state_on_a_small_disk(bed) as state:
        pod = bed.attached(data)
        gate = bed.plugins.gate("bridge", "before", "DEL")
        with full(state):
            pod.annotate([])
            gate.wait_reached()
            assert [each["phase"] for each in records(bed.agent)] == ["DETACHING"]
            gate.open()
            bed.settles({pod: []})
