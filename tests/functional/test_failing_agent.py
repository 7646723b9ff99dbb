"""System calls of the agent's process fail: each once, where the agent talks to others; on a namespace without end.

`test_failing_calls` has the calls of the core, of the plugins, and of the files.
"""

from __future__ import annotations

import errno
import itertools
from typing import Any

import pytest

from functional.bed import Bed
from functional.expectations import records, wait_for_event, wait_for_line
from functional.outcomes import plugged
from functional.ways import BOTH_RUNTIMES
from lab.failingagent import Remote

pytestmark = pytest.mark.root

ERRNOS = (errno.EACCES, errno.ENFILE, errno.ENOMEM, errno.EIO)
PACKAGES = ("daemon/", "kube/", "report/", "runtimes/")
_AT_ONCE = 6

OPEN, STAT, SETNS = "os.open < host/netns.py", "os.stat < host/netns.py", "setns < host/netns.py"
DENIED, FULL = (errno.EACCES, "EACCES", "SELinux", "CAP_SYS_PTRACE"), (errno.ENFILE, "ENFILE", "fs.file-max")


@pytest.fixture(scope="module")
def agent_arguments(remote: Remote) -> dict[str, Any]:
    return {"env": remote.env, "options": {"resync-period": "1s"}}


@pytest.mark.promise(
    "Node: calls to the container runtime and to the API server fail once each",
    "pods are attached and detached all the same",
)
@BOTH_RUNTIMES
def test_each_call_to_the_runtime_and_to_the_api_server_may_fail_once(bed: Bed, remote: Remote) -> None:
    data = bed.networks.bridge()

    def lives() -> None:
        pods = bed.node.many(2, networks=[data.name])
        bed.settles({pod: [data] for pod in pods})
        for pod in pods:
            pod.annotate([])
        bed.settles({pod: [] for pod in pods})
        bed.node.remove_all()
        bed.settles({})

    remote.clear()
    lives()
    sites = sorted(site for site in remote.seen() if site.split(" < ")[1].startswith(PACKAGES))
    failed: list[str] = []
    for first in range(_AT_ONCE):
        remote.fail(dict(zip(sites[first::_AT_ONCE], itertools.cycle(ERRNOS), strict=False)))
        lives()
        failed += remote.failed()
    print(f"{len(sites)} sites, {len(failed)} failed:", *failed, sep="\n")
    assert len(failed) > len(sites) / 3  # connections stay open, so those calls are seldom made again
    assert_sound(bed)


def assert_sound(bed: Bed) -> None:
    assert bed.agent.running
    assert not any(words in bed.agent.log() for words in ("internal error", "Traceback"))


@pytest.mark.promise(
    "Node: SELinux denies a network namespace, or the host has no file handles left",
    "an Event and the journal name the cause; nothing changes until it is over",
)
@pytest.mark.parametrize(
    ("act", "call", "fault", "reason"),
    [
        ("detach", OPEN, DENIED, "NetworkDetachFailed"),
        ("detach", STAT, FULL, "NetworkDetachFailed"),
        ("attach", STAT, DENIED, "NetworkAttachFailed"),
        ("attach", SETNS, FULL, "NetworkAttachFailed"),
        ("resync", SETNS, DENIED, "NetworkAttachFailed"),
    ],
)
def test_a_namespace_that_cannot_be_used_is_an_error_and_an_event_and_changes_nothing(
    bed: Bed, remote: Remote, act: str, call: str, fault: tuple[Any, ...], reason: str
) -> None:
    data = bed.networks.bridge()
    before, after = {"attach": ([], [data]), "detach": ([data], []), "resync": ([data], [data])}[act]
    pod = bed.attached(*before)
    there = plugged(pod)
    number, *words = fault
    remote.fail_always(call, number)
    try:
        pod.annotate([network.name for network in after])
        wait_for_event(bed.api, pod, reason, *words, timeout=20)
        wait_for_line(bed.agent, pod.name, *words, timeout=20)
        assert (plugged(pod), len(records(bed.agent)), len(data.leases())) == (there, len(before), len(before))
    finally:
        remote.clear()
    bed.settles({pod: after})
    assert_sound(bed)
