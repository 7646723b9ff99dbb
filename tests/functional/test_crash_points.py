"""The agent is killed before each write, mount, unmount and start of a plugin that an attach and a detach make.

The rows make themselves: what happens to the pod happens once to see the calls, and then once for each of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from functional.bed import Bed
from functional.outcomes import Wanted, assert_exactly
from lab.failingagent import Remote
from lab.networks import Network
from lab.waiting import eventually

pytestmark = pytest.mark.root

CHANGES = ("mkdir", "write", "fsync", "replace", "unlink", "Popen", "mount", "umount2")
PLACES = ("state/", "host/pins.py", "cni/")


@pytest.fixture(scope="module")
def agent_arguments(remote: Remote) -> dict[str, Any]:
    return {"env": remote.env}


@pytest.fixture
def chained(bed: Bed) -> Network:
    """A network whose last plugin needs the namespace for DEL."""
    return bed.networks.bridge(then={"type": "sbr"})


def reach(bed: Bed, remote: Remote, change: Callable[[], object], wanted: Wanted, site: str = "") -> None:
    """`change` leads to what is wanted; the agent is killed before `site` and started again."""
    killed: list[str] = []

    def reached() -> bool:
        if bed.agent.ended_by_itself:
            killed.extend(remote.failed())
            remote.clear()
            bed.agent.start()
        assert killed == [site] * bool(site)
        assert_exactly(wanted, bed.networks.made, bed.agent)
        return True

    remote.kill_before(site)
    change()
    eventually(reached, 20, f"{wanted}, in spite of a kill before {site}")


def seen(remote: Remote, *calls: str) -> list[str]:
    """The sites to be killed at, with these calls among them."""
    sites = [site for site in remote.seen() if is_change(site)]
    print("\n".join(sites))
    assert set(calls) <= set(map(call_of, sites))
    return sites


@pytest.mark.promise(
    "Agent: the agent is killed before any write, mount, unmount or start of a plugin of an ADD or DEL",
    "the next start does what is wanted by then; no interface, address, record or mount is left",
)
@pytest.mark.parametrize(("to_attach", "call"), [(True, "mount"), (False, "umount2")])
def test_a_kill_at_any_step_leaves_nothing(
    bed: Bed, remote: Remote, chained: Network, to_attach: bool, call: str
) -> None:
    pod = bed.node.pod()

    def have(networks: list[Network], site: str = "") -> None:
        reach(bed, remote, lambda: pod.annotate([network.name for network in networks]), {pod: networks}, site)

    before, after = ([], [chained]) if to_attach else ([chained], [])
    for wanted in (before, after, before, after):  # the second time, neither bridge nor directories are made
        have(wanted)
    for site in seen(remote, call, "Popen"):
        have(before)
        have(after, site)


@pytest.mark.promise(
    "Agent: the agent is killed before any write, unmount or start of a plugin of the DEL after a pod's end",
    "DEL runs in the namespace that the agent keeps; no interface, address, record or mount is left",
)
def test_a_kill_at_any_step_after_the_end_of_a_pod_leaves_nothing(bed: Bed, remote: Remote, chained: Network) -> None:
    def end_of_a_pod(site: str = "") -> None:
        remote.clear()
        reach(bed, remote, bed.attached(chained).finish, {}, site)

    end_of_a_pod()
    for site in seen(remote, "umount2", "Popen"):
        end_of_a_pod(site)


def call_of(site: str) -> str:
    return site.partition(" ")[0].removeprefix("os.")


def is_change(site: str) -> bool:
    return call_of(site) in CHANGES and site.split(" < ")[1].startswith(PLACES)
