"""The end state depends only on the last desired state, not on the way there: crashes, faults, restarts, repeats."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from itertools import permutations, product

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from podagent.decide.dialects.kaloom_names import ANNOTATION, interface_name
from podagent.model import Phase, Pod, PodKey
from unit.bench import Bench
from unit.nodemodel import Crash, Faults

# Two pods of one name in two namespaces, and two of one name and namespace after each other.
PODS = (PodKey("one", "pod", "uid-a"), PodKey("two", "pod", "uid-b"), PodKey("one", "pod", "uid-c"))
NETWORKS = ("red", "green")
MACS = (None, "02:00:00:00:00:01", "02:00:00:00:00:02")
MODES = ("before", "link left", "both left")
MALFORMED = "{not json"

Wish = dict[str, str | None]
Event = Callable[["History"], object]


class History(Bench):
    """What happens to a node and to the agent on it, one event after the other.

    One network is attached through the system plugin.
    """

    def __init__(self) -> None:
        super().__init__()
        self.of_system = NETWORKS[:1]

    def survive(self, pod: PodKey, *, verify: bool = False) -> float | None:
        """The agent looks at a pod; a crash in it is followed by a new agent."""
        try:
            return self.look(pod, verify=verify)
        except Crash:
            self.start_agent()
            return 0.0

    def annotate(self, pod: PodKey, text: str) -> None:
        self.list_has(pod)
        if pod not in self.pods:
            self.start_sandbox(pod)
        self.pods[pod] = Pod(pod, pod.uid, {ANNOTATION: text}, "Running")

    def replace_sandbox(self, pod: PodKey, attached_by_kubelet: bool) -> None:
        if pod in self.pods:
            self.start_sandbox(pod)
            if attached_by_kubelet:
                for network in sorted(NETWORKS):
                    if interface_name(network) in self.wanted(pod):
                        self.kubelet_attaches(pod, network)

    def is_malformed(self, pod: PodKey) -> bool:
        return self.pods[pod].annotations[ANNOTATION] == MALFORMED

    def wanted(self, pod: PodKey) -> Wish:
        entries = [] if self.is_malformed(pod) else json.loads(self.pods[pod].annotations[ANNOTATION])
        return {interface_name(entry["name"]): entry.get("ifMac") for entry in entries}


# --- events


def events(happen: Callable[..., object], *choices: Iterable[object]) -> list[Event]:
    """One event for each combination of the choices."""

    def event(values: tuple[object, ...]) -> Event:
        return lambda history: happen(history, *values)

    return [event(values) for values in product(*choices)]


def look_often(history: History, pod: PodKey, times: int, verify: bool, later: float) -> None:
    for _ in range(times):
        history.now += later
        history.survive(pod, verify=verify)


def crash(history: History, pod: PodKey, steps: int) -> None:
    """The agent dies so many steps into its next action, which is to look at this pod."""
    history.faults.crash_in = steps
    history.survive(pod)
    history.faults.crash_in = None


def tamper(history: History, how: Callable[..., object], pod: PodKey, network: str) -> None:
    """The workload does it to a link whose index is on record: before that, nothing could find it again."""
    index = history.links_of(pod).get(interface_name(network))
    if index in {record.ifindex for record in history.durable.values()}:
        how(history, pod, network)


def reboot(history: History) -> None:
    history.reboot()
    history.start_agent()


def annotate(history: History, pod: PodKey, wish: tuple[tuple[str, str | None], ...]) -> None:
    entries = [{"name": name} | ({"ifMac": mac} if mac else {}) for name, mac in wish]
    history.annotate(pod, json.dumps(entries))


WISHES = [
    tuple(zip(networks, macs, strict=True))
    for number in range(len(NETWORKS) + 1)
    for networks in permutations(NETWORKS, number)
    for macs in product(MACS, repeat=number)
]
ANNOTATIONS = events(annotate, PODS, WISHES)
LOOKS = events(look_often, PODS, (1, 2), (False, True), (0.0, 0.5, 400.0))
CRASHES = events(crash, PODS, range(15))
HAPPENINGS = [
    events(lambda h, pod: h.annotate(pod, MALFORMED), PODS),
    events(History.pod_is_gone, PODS),
    events(History.list_lacks, PODS),
    events(History.list_has, PODS),
    events(History.stop_sandbox, PODS),
    events(History.replace_sandbox, PODS, (False, True)),
    events(History.link_vanishes, PODS, NETWORKS),
    events(tamper, (History.link_is_renamed, History.link_is_replaced, History.link_is_moved), PODS, NETWORKS),
    events(History.start_agent),
    events(reboot),
    events(lambda h, network, mode: h.faults.add_fails.update({network: mode}), NETWORKS, MODES),
    events(lambda h: h.faults.add_fails.clear()),
    events(lambda h, network: h.faults.delete_fails.add(network), NETWORKS),
    events(lambda h, network: h.faults.only_ipam_deletes.add(network), NETWORKS),
    events(lambda h: (h.faults.delete_fails.clear(), h.faults.only_ipam_deletes.clear())),
    events(lambda h, full: setattr(h.faults, "disk_full", full), (False, True)),
    events(lambda h, network: h.faults.undefined.add(network), NETWORKS),
    events(lambda h: h.faults.undefined.clear()),
    events(lambda h, down: setattr(h.faults, "runtime_down", down), (False, True)),
]
# Each kind of happening is as likely as any other; of seven events one is a happening.
happenings = st.sampled_from(HAPPENINGS).flatmap(st.sampled_from)
frequent = [st.sampled_from(kind) for kind in (ANNOTATIONS, LOOKS, CRASHES)]
histories = st.lists(st.one_of(*frequent, happenings, *frequent), min_size=4, max_size=40)


# --- what must hold at any time


def assert_nothing_is_forgotten(node: History) -> None:
    """Whatever happens next, the agent knows what it made."""
    recorded = {(r.sandbox_id, r.attachment.ifname) for r in node.disk.values()}
    assert {(sandbox, ifname) for _, sandbox, ifname in node.leases} <= recorded | node.made_by_kubelet
    for pod, sandbox in node.running.items():
        assert {(sandbox.id, ifname) for ifname in node.attached_to(pod)} <= recorded | node.made_by_kubelet


def assert_malformed_detaches_nothing(node: History) -> None:
    for pod in filter(node.is_malformed, node.pods):
        attached = {r.attachment.ifname for r in node.of(pod) if r.phase is Phase.ATTACHED}
        before = len(node.operations)
        node.survive(pod)
        assert not attached & {ifname for command, _, ifname in node.operations[before:] if command == "DEL"}


def assert_an_absent_pod_that_may_exist_loses_nothing(node: History) -> None:
    for pod in node.unlisted.keys() & node.running.keys():
        before = len(node.operations)
        node.survive(pod)
        assert node.operations[before:] == []


# --- what must hold in the end


def settle(node: History) -> None:
    """Everything works again, every pod has a sandbox, and the agent has looked often enough."""
    node.faults = Faults()
    node.remove_foreign_links()
    for pod in PODS:
        node.list_has(pod)
        if pod not in node.pods:
            node.stop_sandbox(pod)
        elif pod not in node.running:
            node.start_sandbox(pod)
    for _ in range(4):
        for pod in PODS:
            node.now += 1000
            node.survive(pod, verify=True)


def assert_as_desired(node: History) -> None:
    for pod in node.pods:
        if node.is_malformed(pod):
            continue
        wanted, sandbox = node.wanted(pod), node.running[pod]
        links = node.attached_to(pod)
        assert set(links) - _left_by_kubelet(node, pod, set(wanted)) == set(wanted)
        assert {r.attachment.ifname: r.attachment.mac for r in node.of(pod)} == wanted
        for ifname, mac in wanted.items():
            if (sandbox.id, ifname) not in node.made_by_kubelet:
                assert node.macs[links[ifname]] == (mac or "")
    assert {pod for pod, _ in node.disk} <= set(node.pods)
    recorded = {(r.sandbox_id, r.attachment.ifname) for r in node.disk.values()}
    assert {(s, ifname) for _, s, ifname in node.leases} - node.made_by_kubelet <= recorded
    assert node.pins == {record.netns.inode for record in node.disk.values() if record.boot_id == node.boot_id}


def _left_by_kubelet(node: History, pod: PodKey, wanted: set[str]) -> set[str]:
    """Interfaces of the kubelet's plugin that nobody asked the agent for while it looked are not the agent's."""
    recorded = {r.attachment.ifname for r in node.of(pod)}
    return {ifname for sandbox, ifname in node.made_by_kubelet if sandbox == node.running[pod].id} - recorded - wanted


def assert_a_restart_changes_nothing(node: History) -> None:
    operations, links = list(node.operations), {inode: dict(of) for inode, of in node.links.items()}
    node.start_agent()
    assert [node.look(pod, verify=True) for pod in PODS] == [None] * len(PODS)
    assert (node.operations, node.links) == (operations, links)


@settings(max_examples=1000, deadline=None, suppress_health_check=list(HealthCheck))
@given(histories)
def test_the_end_state_depends_only_on_the_last_desired_state(events: list[Event]) -> None:
    node = History()
    for event in events:
        event(node)
        assert_nothing_is_forgotten(node)
        assert_malformed_detaches_nothing(node)
        assert_an_absent_pod_that_may_exist_loses_nothing(node)
    settle(node)
    assert_as_desired(node)
    assert_a_restart_changes_nothing(node)
