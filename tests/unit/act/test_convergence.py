"""The end state depends only on the last desired state, not on the way there: crashes, faults, restarts, repeats."""

from __future__ import annotations

import json
import random
from collections.abc import Callable

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from podagent.act.executor import Executor
from podagent.act.outcomes import Outcomes
from podagent.act.reconciler import Reconciler
from podagent.decide.attempts import Attempts
from podagent.decide.dialects.kaloom_names import interface_name
from podagent.model import Phase, PodKey
from unit.nodemodel import AnnotatedPod as Pod
from unit.nodemodel import Crash, Node, SilentReport

# Two pods of one name in two namespaces, and two of one name and namespace after each other.
PODS = (PodKey("one", "pod", "uid-a"), PodKey("two", "pod", "uid-b"), PodKey("one", "pod", "uid-c"))
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
        executor = Executor(node, node, node, lambda container_id, ifname, timeout: None, node.boot_id)
        outcomes = Outcomes(Attempts(lambda: self.now, random.Random(1)), [SilentReport()])
        self.agent = Reconciler(node, node, node, node, executor, outcomes, ("default",))

    def look(self, pod: PodKey, *, verify: bool = False) -> float | None:
        """The agent looks at a pod; a crash in it is followed by a new agent."""
        try:
            return self.agent.reconcile(pod, verify=verify)
        except Crash:
            self.start_agent()
            return 0.0

    def annotate(self, pod: PodKey, text: str) -> None:
        if pod not in self.node.pods:
            self.node.pods[pod] = Pod(pod, pod.uid, None, "Running")
            self.node.start_sandbox(pod)
        self.node.pods[pod] = self.node.pods[pod]._replace(networks=text)

    def replace_sandbox(self, pod: PodKey, attached_by_kubelet: bool) -> None:
        if pod in self.node.pods:
            self.node.start_sandbox(pod)
            if attached_by_kubelet:
                for ifname in sorted(self.wanted(pod)):
                    self.node.kubelet_attaches(pod, next(n for n in NETWORKS if interface_name(n) == ifname))

    def link_vanishes(self, pod: PodKey, network: str) -> None:
        sandbox = self.node.running.get(pod)
        if sandbox is not None and sandbox.netns is not None:
            self.node.links[sandbox.netns.inode].pop(interface_name(network), None)

    def wanted(self, pod: PodKey) -> Wish:
        text = self.node.pods[pod].networks
        entries = json.loads(text) if text and text != MALFORMED else []
        return {interface_name(entry["name"]): entry.get("ifMac") for entry in entries}


# --- events

pods = st.sampled_from(PODS)
networks = st.sampled_from(NETWORKS)


@st.composite
def annotations(draw: st.DrawFn) -> Event:
    pod = draw(pods)
    entries = draw(st.lists(st.tuples(networks, st.sampled_from(MACS)), max_size=2, unique_by=lambda entry: entry[0]))
    text = json.dumps([{"name": name} | ({"ifMac": mac} if mac else {}) for name, mac in entries])
    return lambda history: history.annotate(pod, text)


@st.composite
def looks(draw: st.DrawFn) -> Event:
    pod, times, verify = draw(pods), draw(st.integers(1, 2)), draw(st.booleans())
    later = draw(st.sampled_from((0.0, 0.5, 400.0)))

    def event(history: History) -> None:
        for _ in range(times):
            history.now += later
            history.look(pod, verify=verify)

    return event


@st.composite
def crashes(draw: st.DrawFn) -> Event:
    """The agent dies so many steps into what it does next, which is to look at this pod."""
    pod, steps = draw(pods), draw(st.integers(0, 14))

    def event(history: History) -> None:
        history.node.faults.crash_in = steps
        history.look(pod)
        history.node.faults.crash_in = None

    return event


@st.composite
def happenings(draw: st.DrawFn) -> Event:
    pod, network, flag = draw(pods), draw(networks), draw(st.booleans())
    mode = draw(st.sampled_from(("before", "link left", "both left")))
    return draw(
        st.sampled_from(
            (
                lambda h: h.annotate(pod, MALFORMED),
                lambda h: h.node.pods.pop(pod, None),
                lambda h: h.node.stop_sandbox(pod),
                lambda h: h.replace_sandbox(pod, flag),
                lambda h: h.link_vanishes(pod, network),
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
    for pod in [key for key, pod in node.pods.items() if pod.networks == MALFORMED]:
        attached = {r.attachment.ifname for r in node.of(pod) if r.phase is Phase.ATTACHED}
        before = len(node.operations)
        history.look(pod)
        assert not attached & {ifname for command, _, ifname in node.operations[before:] if command == "DEL"}


# --- what must hold in the end


def settle(history: History) -> None:
    """Everything works again, every pod has a sandbox, and the agent has looked often enough."""
    node = history.node
    node.faults = type(node.faults)()
    for pod in PODS:
        if pod not in node.pods:
            node.stop_sandbox(pod)
        elif pod not in node.running:
            node.start_sandbox(pod)
    for _ in range(4):
        for pod in PODS:
            history.now += 1000
            history.look(pod, verify=True)


def assert_as_desired(history: History) -> None:
    node = history.node
    for pod in node.pods:
        if node.pods[pod].networks == MALFORMED:
            continue
        wanted, sandbox = history.wanted(pod), node.running[pod]
        assert sandbox.netns is not None
        assert node.links_of(pod) - _left_by_kubelet(node, pod, set(wanted)) == set(wanted)
        assert {r.attachment.ifname: r.attachment.mac for r in node.of(pod)} == wanted
        for ifname, mac in wanted.items():
            if (sandbox.id, ifname) not in node.made_by_kubelet:
                assert node.macs[sandbox.netns.inode, ifname] == (mac or "")
    assert {pod for pod, _ in node.disk} <= set(node.pods)
    recorded = {(r.sandbox_id, r.attachment.ifname) for r in node.disk.values()}
    assert {(s, ifname) for _, s, ifname in node.leases} - node.made_by_kubelet <= recorded


def _left_by_kubelet(node: Node, pod: PodKey, wanted: set[str]) -> set[str]:
    """What the kubelet's plugin made and nobody asked the agent for while it looked, is not the agent's."""
    recorded = {r.attachment.ifname for r in node.of(pod)}
    return {ifname for sandbox, ifname in node.made_by_kubelet if sandbox == node.running[pod].id} - recorded - wanted


def assert_a_restart_changes_nothing(history: History) -> None:
    node = history.node
    operations, links = list(node.operations), {inode: dict(of) for inode, of in node.links.items()}
    history.start_agent()
    assert [history.look(pod, verify=True) for pod in PODS] == [None] * len(PODS)
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
