"""The agent is killed before each write, mount, unmount and start of a plugin that an attach and a detach make.

The rows make themselves: what happens to the pod happens once to see the calls, and then once for each of them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from functional.bed import Bed
from functional.outcomes import assert_exactly
from lab.failingagent import Remote
from lab.networks import Network
from lab.node import Pod
from lab.waiting import eventually

pytestmark = pytest.mark.root

CHANGES = ("mkdir", "write", "fsync", "replace", "unlink", "Popen", "mount", "umount2")
PLACES = ("state/", "host/pins.py", "cni/")


@pytest.fixture(scope="module")
def remote() -> Iterator[Remote]:
    with tempfile.TemporaryDirectory(prefix="podagent-test-") as directory:
        yield Remote(Path(directory))


@pytest.fixture(scope="module")
def agent_arguments(remote: Remote) -> dict[str, Any]:
    return {"env": remote.env}


def reach(bed: Bed, remote: Remote, pod: Pod, wanted: list[Network], site: str = "") -> None:
    """The pod gets these networks; the agent is killed before `site` and started again."""
    killed: list[str] = []

    def reached() -> bool:
        if bed.agent.ended_by_itself:
            killed.extend(remote.failed())
            remote.clear()
            bed.agent.start()
        assert killed == [site] * bool(site)
        assert_exactly({pod: wanted}, bed.networks.made, bed.agent)
        return True

    remote.kill_before(site)
    pod.annotate([network.name for network in wanted])
    eventually(reached, 20, f"{wanted}, in spite of a kill before {site}")


@pytest.mark.promise(
    "Agent: the agent is killed before any write, mount, unmount or start of a plugin of an ADD or DEL",
    "the next start does what is wanted by then; no interface, address, record or mount is left",
)
@pytest.mark.parametrize(("to_attach", "calls"), [(True, {"mount", "Popen"}), (False, {"umount2", "Popen"})])
def test_a_kill_at_any_step_leaves_nothing(bed: Bed, remote: Remote, to_attach: bool, calls: set[str]) -> None:
    network, pod = bed.networks.bridge(), bed.node.pod()
    before, after = ([], [network]) if to_attach else ([network], [])
    for wanted in (before, after, before, after):  # the second time, neither bridge nor directories are made
        reach(bed, remote, pod, wanted)
    sites = [site for site in remote.seen() if is_change(site)]
    print("\n".join(sites))
    assert calls <= set(map(call_of, sites))
    for site in sites:
        reach(bed, remote, pod, before)
        reach(bed, remote, pod, after, site)


def call_of(site: str) -> str:
    return site.partition(" ")[0].removeprefix("os.")


def is_change(site: str) -> bool:
    return call_of(site) in CHANGES and site.split(" < ")[1].startswith(PLACES)
