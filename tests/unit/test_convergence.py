"""The end state depends only on the last desired state, not on the way there: crashes, faults, restarts, repeats."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nodemodel import Crash, Node, SilentReport

from podagent.backoff import Backoffs
from podagent.executor import Executor
from podagent.model import Phase, Pod, PodKey, interface_name
from podagent.reconciler import Reconciler

UIDS = ("uid-a", "uid-b", "uid-c")
NETWORKS = ("red", "green")
MACS = (None, "02:00:00:00:00:01", "02:00:00:00:00:02")
MALFORMED = "{not json"

Wish = dict[str, str | None]
Event = Callable[["History"], object]


class History:
    """A node, an agent on it, and what happens to both, one event after the other."""

    def __init__(self) -> None:
        self.node = Node()
        self.now = 0.0
        self.start_agent()

    def start_agent(self) -> None:
        node = self.node
        executor = Executor(node, node, node, node, lambda container_id, ifname: None, node.boot_id)
        backoffs = Backoffs(lambda: self.now, random.Random(1))
        self.agent = Reconciler(node, node, node, executor, SilentReport(), backoffs, ("default",))

    def look(self, uid: str, *, verify: bool = False) -> float | None:
        """The agent looks at a pod; a crash in it is followed by a new agent."""
        try:
            return self.agent.reconcile(uid, verify=verify)
        except Crash:
            self.start_agent()
            return 0.0

    def annotate(self, uid: str, text: str) -> None:
        if uid not in self.node.pods:
            # Two pods of one name in two namespaces, and two of one name and namespace after each other.
            key = PodKey("one" if uid != "uid-b" else "two", "pod", uid)
            self.node.pods[uid] = Pod(key, uid, None, "Running")
            self.node.start_sandbox(uid)
        self.node.pods[uid] = replace(self.node.pods[uid], networks=text)

    def replace_sandbox(self, uid: str, attached_by_kubelet: bool) -> None:
        if uid in self.node.pods:
            self.node.start_sandbox(uid)
            if attached_by_kubelet:
                for ifname in sorted(self.wanted(uid)):
                    self.node.kubelet_attaches(uid, next(n for n in NETWORKS if interface_name(n) == ifname))

    def link_vanishes(self, uid: str, network: str) -> None:
        sandbox = self.node.running.get(uid)
        if sandbox is not None and sandbox.netns is not None:
            self.node.links[sandbox.netns.inode].pop(interface_name(network), None)

    def wanted(self, uid: str) -> Wish:
        text = self.node.pods[uid].networks
        entries = json.loads(text) if text and text != MALFORMED else []
        return {interface_name(entry["name"]): entry.get("ifMac") for entry in entries}


# --- events

uids = st.sampled_from(UIDS)
networks = st.sampled_from(NETWORKS)


@st.composite
def annotations(draw: st.DrawFn) -> Event:
    uid = draw(uids)
    entries = draw(st.lists(st.tuples(networks, st.sampled_from(MACS)), max_size=2, unique_by=lambda entry: entry[0]))
    text = json.dumps([{"name": name} | ({"ifMac": mac} if mac else {}) for name, mac in entries])
    return lambda history: history.annotate(uid, text)


@st.composite
def looks(draw: st.DrawFn) -> Event:
    uid, times, verify = draw(uids), draw(st.integers(1, 2)), draw(st.booleans())
    later = draw(st.sampled_from((0.0, 0.5, 400.0)))

    def event(history: History) -> None:
        for _ in range(times):
            history.now += later
            history.look(uid, verify=verify)

    return event


@st.composite
def crashes(draw: st.DrawFn) -> Event:
    """The agent dies so many steps into what it does next, which is to look at this pod."""
    uid, steps = draw(uids), draw(st.integers(0, 14))

    def event(history: History) -> None:
        history.node.faults.crash_in = steps
        history.look(uid)
        history.node.faults.crash_in = None

    return event


@st.composite
def happenings(draw: st.DrawFn) -> Event:
    uid, network, flag = draw(uids), draw(networks), draw(st.booleans())
    mode = draw(st.sampled_from(("before", "link left", "both left")))
    return draw(
        st.sampled_from(
            (
                lambda h: h.annotate(uid, MALFORMED),
                lambda h: h.node.pods.pop(uid, None),
                lambda h: h.node.stop_sandbox(uid),
                lambda h: h.replace_sandbox(uid, flag),
                lambda h: h.link_vanishes(uid, network),
                lambda h: h.start_agent(),
                lambda h: (h.node.reboot(), h.start_agent()),
                lambda h: h.node.faults.add_fails.update({network: mode}),
                lambda h: h.node.faults.add_fails.clear(),
                lambda h: h.node.faults.delete_fails.update({network} if flag else ()),
                lambda h: h.node.faults.delete_fails.clear(),
                lambda h: h.node.faults.undefined.update({network} if flag else ()),
                lambda h: h.node.faults.undefined.clear(),
                lambda h: setattr(h.node.faults, "runtime_down", flag),
            )
        )
    )


histories = st.lists(
    st.one_of(annotations(), looks(), crashes(), happenings(), annotations(), looks(), crashes()),
    min_size=4,
    max_size=40,
)


# --- what must hold at any time


def assert_nothing_is_forgotten(node: Node) -> None:
    """Whatever happens next, the agent knows what it made."""
    recorded = {(r.sandbox_id, r.attachment.ifname) for r in node.disk.values()}
    assert {(sandbox, ifname) for _, sandbox, ifname in node.leases} <= recorded | node.made_by_kubelet
    for sandbox in node.running.values():
        assert sandbox.netns is not None
        for ifname in set(node.links[sandbox.netns.inode]) - {"lo"}:
            assert (sandbox.id, ifname) in recorded | node.made_by_kubelet


def assert_malformed_detaches_nothing(history: History) -> None:
    node = history.node
    for uid in [uid for uid, pod in node.pods.items() if pod.networks == MALFORMED]:
        attached = {r.attachment.ifname for r in node.of(uid) if r.phase is Phase.ATTACHED}
        before = len(node.operations)
        history.look(uid)
        assert not attached & {ifname for command, _, ifname in node.operations[before:] if command == "DEL"}


# --- what must hold in the end


def settle(history: History) -> None:
    """Everything works again, every pod has a sandbox, and the agent has looked often enough."""
    node = history.node
    node.faults = type(node.faults)()
    for uid in UIDS:
        if uid not in node.pods:
            node.stop_sandbox(uid)
        elif uid not in node.running:
            node.start_sandbox(uid)
    for _ in range(4):
        for uid in UIDS:
            history.now += 1000
            history.look(uid, verify=True)


def assert_as_desired(history: History) -> None:
    node = history.node
    for uid, pod in node.pods.items():
        if pod.networks == MALFORMED:
            continue
        wanted, sandbox = history.wanted(uid), node.running[uid]
        assert sandbox.netns is not None
        assert node.links_of(uid) - _left_by_kubelet(node, uid, set(wanted)) == set(wanted)
        assert {r.attachment.ifname: r.attachment.mac for r in node.of(uid)} == wanted
        for ifname, mac in wanted.items():
            if (sandbox.id, ifname) not in node.made_by_kubelet:
                assert node.macs[sandbox.netns.inode, ifname] == (mac or "")
    assert {uid for uid, _ in node.disk} <= set(node.pods)
    recorded = {(r.sandbox_id, r.attachment.ifname) for r in node.disk.values()}
    assert {(s, ifname) for _, s, ifname in node.leases} - node.made_by_kubelet <= recorded


def _left_by_kubelet(node: Node, uid: str, wanted: set[str]) -> set[str]:
    """What the kubelet's plugin made and nobody asked the agent for while it looked, is not the agent's."""
    recorded = {r.attachment.ifname for r in node.of(uid)}
    return {ifname for sandbox, ifname in node.made_by_kubelet if sandbox == node.running[uid].id} - recorded - wanted


def assert_a_restart_changes_nothing(history: History) -> None:
    node = history.node
    operations, links = list(node.operations), {inode: dict(of) for inode, of in node.links.items()}
    history.start_agent()
    assert [history.look(uid, verify=True) for uid in UIDS] == [None] * len(UIDS)
    assert (node.operations, node.links) == (operations, links)


@settings(max_examples=1000, deadline=None, suppress_health_check=list(HealthCheck))
@given(histories)
def test_the_end_state_depends_only_on_the_last_desired_state(events: list[Event]) -> None:
    history = History()
    for event in events:
        event(history)
        assert_nothing_is_forgotten(history.node)
        assert_malformed_detaches_nothing(history)
    settle(history)
    assert_as_desired(history)
    assert_a_restart_changes_nothing(history)
