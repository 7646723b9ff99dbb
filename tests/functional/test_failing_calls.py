"""Each system call of the agent fails once, in turn; those on a namespace also without end. Nothing is taken for gone.

The rows make themselves: an act is played once to see its calls, and then once for each of them.
"""

from __future__ import annotations

import errno
import itertools
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from functional.failingnode import Node
from lab.failing import Calls, Visit
from podagent.errors import NetnsUnavailable

pytestmark = pytest.mark.root

ERRNOS = (errno.EACCES, errno.ENFILE, errno.ENOMEM, errno.EIO)
State = tuple[bool, bool, list[str]]
ATTACHED: State = (True, True, ["ATTACHED"])
DETACHED: State = (False, False, [])
# Of a call in a loop these visits fail, each in a row of its own.
_VISITS = 3
# A site up to the innermost function of the module. To detach in a pinned namespace, it need not be known whether the
# sandbox runs (_is_at_its_path); it is let go (unpin) when the record is gone.
_OF_NAMESPACE = re.compile(r"(?!.* (?:unpin|_is_at_its_path)\b).*? host/netns\.py:\d+ \S+")


class Act(NamedTuple):
    """What happens to a pod that has its network, or none; and what there is in the end.

    Only calls with `of` in their site fail.
    """

    begins: State
    happens: Callable[[Node], None]
    ends: State
    of: str = ""


def _first_attach(node: Node) -> None:
    node.delete_bridge()
    node.want(node.network.name)
    node.settle()


def _detach(node: Node) -> None:
    node.want()
    node.settle()


def _drift(node: Node) -> None:
    node.delete_link()
    node.settle(verify=True)


def _lost_record(node: Node) -> None:
    node.lose_record()
    node.settle()


def _refused(node: Node) -> None:
    node.want_mac_of_bridge()
    node.look_often(4)


def _crash(node: Node) -> None:
    node.want()
    node.crash_in_add()
    node.settle()


def _orphan(node: Node) -> None:
    with node.orphan() as running:
        node.crash_in_add()
        node.settle()
        if running.poll() is None:
            node.wrong.append("a plugin ran beside that of the agent before")


def _ended(node: Node) -> None:
    node.delete_pod()
    node.end_sandbox()
    node.settle()


ACTS = {
    "attach": Act(DETACHED, _first_attach, ATTACHED),
    "detach": Act(ATTACHED, _detach, DETACHED),
    "drift": Act(ATTACHED, _drift, ATTACHED),
    "refused": Act(ATTACHED, _refused, DETACHED, "resolve/macs.py"),
    "lost record": Act(ATTACHED, _lost_record, ATTACHED),
    "crash in ADD": Act(ATTACHED, _crash, DETACHED),
    "crash in ADD, plugin lives on": Act(ATTACHED, _orphan, ATTACHED, "host/orphans.py"),
    "sandbox ended": Act(ATTACHED, _ended, DETACHED, "host/netns.py"),
}

# The later acts of a group are for the calls that are not in the earlier ones.
GROUPS = (
    ("attach", "lost record", "refused", "sandbox ended"),
    ("detach", "drift", "crash in ADD", "crash in ADD, plugin lives on"),
)


@pytest.fixture
def calls() -> Iterator[Calls]:
    with Calls().installed() as made:
        yield made


@pytest.fixture
def node(calls: Calls) -> Iterator[Node]:
    with tempfile.TemporaryDirectory(prefix="podagent-test-") as directory:
        made = Node(Path(directory), calls)
        yield made
        made.close()


def play(node: Node, act: Act) -> list[str]:
    """Returns what went wrong."""
    act.happens(node)
    state = node.state()
    if state != act.ends:
        node.wrong.append(f"(link, lease, records) {state} instead of {act.ends}")
    if act.ends == DETACHED and node.keeps_a_namespace():
        node.wrong.append("a network namespace without attachments is kept")
    return node.wrong


def begin(node: Node, act: Act) -> None:
    node.wrong.clear()
    node.now += 3600  # no backoff of the act before
    if not node.pid:
        node.start_sandbox()
    node.want(*[node.network.name] * (act.begins == ATTACHED))
    node.settle()
    assert (node.state(), node.wrong) == (act.begins, [])


def visits(node: Node, calls: Calls, act: Act) -> list[Visit]:
    """The calls of an act in which nothing fails."""
    calls.clear()
    begin(node, act)
    calls.clear()
    assert play(node, act) == []
    seen = ((site, min(times, _VISITS)) for site, times in calls.seen.items() if act.of in site)
    return [Visit(site, count + 1) for site, times in seen for count in range(times)]


def fails_once(node: Node, calls: Calls, act: Act, visit: Visit, number: int) -> list[str]:
    """Returns what went wrong."""
    calls.clear()
    begin(node, act)
    calls.fail({visit: number})
    return list(play(node, act))


@pytest.mark.promise(
    "Node: a system call of an attach, detach or recovery fails once",
    "in the end every pod is as its annotation asks",
)
@pytest.mark.parametrize("names", GROUPS, ids=" ".join)
def test_a_call_that_fails_once_changes_nothing_in_the_end(node: Node, calls: Calls, names: list[str]) -> None:
    covered: set[Visit] = set()
    wrong: dict[str, list[str]] = {}
    for name in names:
        rows = list(rows_of(name, visits(node, calls, ACTS[name]), covered))
        for visit, number in rows:
            if found := fails_once(node, calls, ACTS[name], visit, number):
                wrong[f"{name}, {errno.errorcode[number]} at visit {visit.number} of {visit.site}"] = found
                node.reset()
        print(f"{name}: {len(rows)} rows")
    assert not wrong, "\n".join(f"{row}: {found}" for row, found in wrong.items())


def rows_of(name: str, seen: list[Visit], covered: set[Visit]) -> Iterator[tuple[Visit, int]]:
    """Each visit with an errno, of a namespace with all of them; without those of acts before."""
    spread = itertools.cycle(ERRNOS)
    for visit in seen:
        if visit in covered:
            continue
        covered.add(visit)
        of_namespace = " host/netns.py" in visit.site and name in ("attach", "detach")
        for number in ERRNOS if of_namespace else [next(spread)]:
            if not (number == errno.EACCES and "host/orphans.py" in visit.site):  # then it is no plugin of ours
                yield visit, number


@pytest.mark.parametrize("number", [errno.EACCES, errno.ENFILE], ids=errno.errorcode.get)
def test_a_namespace_that_cannot_be_used_for_long_keeps_its_record_and_is_reported(
    node: Node, calls: Calls, number: int
) -> None:
    detach = ACTS["detach"]
    found = (_OF_NAMESPACE.match(visit.site) for visit in visits(node, calls, detach))
    for site in sorted({each[0] for each in found if each}):
        begin(node, detach)
        calls.fail_always(site, number)
        node.want()
        node.look_often(3)
        link, lease, records = node.state()
        assert records == ["DETACHING"], site
        assert link == lease, site
        assert all(isinstance(error, NetnsUnavailable) for error in node.errors), (site, node.errors)
        assert len(node.errors) == 3
        calls.clear()
        assert play(node, detach) == []
