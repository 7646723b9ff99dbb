"""One action, and the promise about the order of its steps, on the model of a node."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from podagent.act.executor import Executor
from podagent.decide.dialects.kaloom_names import interface_name
from podagent.errors import (
    HostNetworkRefused,
    InterfaceLeft,
    NetnsGone,
    NotUndone,
    PluginError,
    PodagentError,
    SandboxChanged,
    StoreError,
)
from podagent.foreign import Json
from podagent.model import Attachment, Invocation, Phase, Record, Sandbox, Target, Via
from podagent.netconf import NetConf
from unit.factory import attachment, key, pod
from unit.nodemodel import Crash, Node

RED = attachment("red")
POD = key()
KEY = (POD, RED.ifname)


class Bench(Node):
    """A node whose operations can be listened to, with an executor on it."""

    def __init__(self) -> None:
        super().__init__()
        self.via = Via.DELEGATE
        self.before_add: Callable[[], None] = lambda: None
        self.after_add: Callable[[], None] = lambda: None
        self.before_delete: Callable[[Target], None] = lambda target: None
        self.delete_does_nothing = False
        self.waited: list[tuple[str, str]] = []
        self.targets: list[Target] = []
        self.pods[POD] = pod()
        self.sandbox = self.start_sandbox(POD)
        self.executor = self.make_executor()

    def make_executor(self) -> Executor:
        def await_orphans(container_id: str, ifname: str, timeout_s: float) -> None:
            self.waited.append((container_id, ifname))

        return Executor(self, self, self, await_orphans, self.boot_id, plugin_timeout_s=5)

    def add(self, call: Invocation, target: Target) -> Json:
        self.before_add()
        result = super().add(call, target)
        self.after_add()
        return result

    def delete(self, call: Invocation, target: Target, added: Json | None) -> None:
        self.targets.append(target)
        self.before_delete(target)
        if self.delete_does_nothing:
            return
        super().delete(call, target, added)

    def attach(self, wanted: Attachment = RED) -> Record:
        _, call = self.resolve(self.pods[POD], wanted, self.sandbox)
        return self.executor.attach(self.pods[POD], wanted, self.sandbox, self.via, call)

    @property
    def record(self) -> Record:
        return self.disk[KEY]

    def commands(self) -> list[str]:
        return [command for command, *_ in self.operations]


@pytest.fixture
def node() -> Bench:
    return Bench()


# -- attaching ------------------------------------------------------------------------------------------------------


def test_attaches_and_records_all_that_detaching_will_need(node: Bench) -> None:
    made = node.attach(attachment("red", mac="02:00:00:00:00:01"))
    assert made == node.record
    assert node.links_of(POD) == {RED.ifname}
    assert (made.phase, made.via, made.boot_id, made.adopted) == (Phase.ATTACHED, Via.DELEGATE, "boot-1", False)
    assert (made.sandbox_id, made.netns) == (node.sandbox.id, node.sandbox.netns)
    assert made.ifindex == node.links[made.netns.inode][RED.ifname]
    assert made.result == {"cniVersion": "1.0.0", "ips": [{"address": "10.0.0.2/24"}]}
    assert dict(made.invocation.args) == {"MAC": "02:00:00:00:00:01"}


def test_the_record_says_attaching_while_add_runs(node: Bench) -> None:
    seen: list[Phase] = []
    node.before_add = lambda: seen.append(node.record.phase)
    node.after_add = lambda: seen.append(node.record.phase)
    node.attach()
    assert seen == [Phase.ATTACHING, Phase.ATTACHING]


def test_no_add_runs_that_could_not_be_recorded(node: Bench) -> None:
    def full(record: Record) -> None:
        raise StoreError("disk full")

    node.put = full  # type: ignore[method-assign]
    with pytest.raises(StoreError):
        node.attach()
    assert node.operations == []


def test_an_interface_that_is_there_already_is_adopted_without_add(node: Bench) -> None:
    node.kubelet_attaches(POD, "red")
    before = node.links[node.sandbox.netns.inode].copy()
    made = node.attach()
    assert (made.adopted, made.phase, made.result) == (True, Phase.ATTACHED, None)
    assert made.ifindex == before[RED.ifname]
    assert node.record == made
    assert (node.operations, node.links[node.sandbox.netns.inode]) == ([], before)


def test_an_adopted_interface_is_detached_like_any_other(node: Bench) -> None:
    node.kubelet_attaches(POD, "red")
    node.executor.detach(node.attach())
    assert (node.disk, node.links_of(POD), node.leases) == ({}, set(), set())


def test_the_host_network_is_refused_before_anything_is_asked_or_written(node: Bench) -> None:
    node.sandbox = Sandbox("host", None)
    with pytest.raises(HostNetworkRefused, match="default/web"):
        node.attach()
    assert (node.disk, node.operations) == ({}, [])


def test_a_sandbox_that_is_gone_already_is_not_touched(node: Bench) -> None:
    node.stop_sandbox(POD)
    with pytest.raises(NetnsGone):
        node.attach()
    assert (node.disk, node.operations) == ({}, [])


@pytest.mark.parametrize("mode", ["before", "link left", "both left"])
def test_what_a_failed_add_left_behind_is_undone_and_forgotten(node: Bench, mode: str) -> None:
    node.faults.add_fails["red"] = mode
    with pytest.raises(PluginError):
        node.attach()
    assert (node.links_of(POD), node.leases, node.disk) == (set(), set(), {})
    assert node.commands() == ["ADD", "DEL"]


def test_when_undoing_fails_too_it_stays_recorded_and_both_reasons_are_told(node: Bench) -> None:
    node.faults.add_fails["red"] = "both left"
    node.faults.delete_fails.add("red")
    with pytest.raises(PluginError) as raised:
        node.attach()
    assert "route failed" in str(raised.value)
    assert isinstance(raised.value.__cause__, NotUndone)
    assert "cannot delete now" in str(raised.value.__cause__)
    assert node.record.phase is Phase.DETACHING
    node.faults.delete_fails.clear()
    node.executor.detach(node.record)
    assert (node.links_of(POD), node.leases, node.disk) == (set(), set(), {})


def test_a_bug_in_the_middle_of_add_leaves_a_record_of_it(node: Bench) -> None:
    def bug() -> None:
        raise RuntimeError("bug")

    node.after_add = bug
    with pytest.raises(RuntimeError):
        node.attach()
    assert node.record.phase is Phase.ATTACHING


def test_a_sandbox_that_ends_during_add_is_undone_without_going_near_its_namespace(node: Bench) -> None:
    node.after_add = lambda: node.stop_sandbox(POD)
    with pytest.raises(SandboxChanged, match="ended during ADD"):
        node.attach()
    assert (node.leases, node.disk) == (set(), {})
    assert node.targets == [Target(node.sandbox.id, "", RED.ifname)]


def test_a_sandbox_that_is_replaced_during_add_keeps_the_new_one_untouched(node: Bench) -> None:
    def replaced() -> None:
        node.start_sandbox(POD)
        node.kubelet_attaches(POD, "red")

    node.after_add = replaced
    with pytest.raises(SandboxChanged):
        node.attach()
    assert node.links_of(POD) == {RED.ifname}
    assert {sandbox for _, sandbox, _ in node.leases} == {node.running[POD].id}


def test_the_interface_stays_when_the_kubelets_call_of_the_system_plugin_was_first(node: Bench) -> None:
    node.via = Via.SYSTEM
    node.before_add = lambda: node.kubelet_attaches(POD, "red")
    with pytest.raises(PluginError, match="already exists"):
        node.attach()
    assert (node.disk, node.links_of(POD), node.commands()) == ({}, {RED.ifname}, ["ADD"])
    node.before_add = lambda: None
    assert node.attach().adopted


@pytest.mark.parametrize("message", ["network red does not exist", "no such bridge", "nonexistent IPAM range"])
def test_another_failure_of_the_system_plugin_is_undone_although_it_left_a_link(node: Bench, message: str) -> None:
    def fail() -> None:
        raise PluginError("kactus", message)

    node.via = Via.SYSTEM
    node.after_add = fail
    with pytest.raises(PluginError, match=message):
        node.attach()
    assert (node.disk, node.links_of(POD), node.leases) == ({}, set(), set())


def test_already_exists_without_the_interface_is_a_failure_like_any_other(node: Bench) -> None:
    def fail() -> None:
        raise PluginError("kactus", "veth1234 already exists")

    node.via = Via.SYSTEM
    node.before_add = fail
    with pytest.raises(PluginError):
        node.attach()
    assert node.commands() == ["DEL"]


def test_a_plugin_that_makes_no_link_is_recorded_without_one(node: Bench) -> None:
    node.after_add = lambda: node.links[node.sandbox.netns.inode].pop(RED.ifname) and None
    assert node.attach().ifindex == 0


# -- detaching ------------------------------------------------------------------------------------------------------


def test_detaches_with_what_was_recorded_and_then_forgets(node: Bench) -> None:
    made = node.attach()
    node.faults.undefined.add("red")
    node.pods.clear()
    node.executor.detach(made)
    assert (node.links_of(POD), node.leases, node.disk) == (set(), set(), {})
    assert node.targets == [made.target]


def test_the_record_stays_until_del_has_succeeded(node: Bench) -> None:
    made = node.attach()
    seen: list[Phase] = []
    node.before_delete = lambda target: seen.append(node.record.phase)
    node.executor.detach(made)
    assert seen == [Phase.DETACHING]
    assert node.disk == {}


def test_a_failed_del_stays_recorded_with_all_it_needs(node: Bench) -> None:
    made = node.attach()
    node.faults.delete_fails.add("red")
    with pytest.raises(PluginError, match="cannot delete now"):
        node.executor.detach(made)
    assert node.record == made._replace(phase=Phase.DETACHING)


def test_del_of_a_namespace_that_is_gone_names_none(node: Bench) -> None:
    made = node.attach()
    node.stop_sandbox(POD)
    node.executor.detach(made)
    assert node.targets == [Target(made.sandbox_id, "", RED.ifname)]
    assert (node.leases, node.disk) == (set(), {})


def test_del_after_a_reboot_names_no_namespace_even_if_the_same_one_seems_to_be_there(node: Bench) -> None:
    made = node.attach()
    node.boot_id = "boot-2"
    node.make_executor().detach(made)
    assert node.targets == [Target(made.sandbox_id, "", RED.ifname)]
    assert node.links_of(POD) == {RED.ifname}


def test_the_namespace_of_another_sandbox_is_never_touched(node: Bench) -> None:
    made = node.attach()
    node.start_sandbox(POD)
    node.kubelet_attaches(POD, "red")
    node.executor.detach(made)
    assert node.links_of(POD) == {RED.ifname}
    assert {sandbox for _, sandbox, _ in node.leases} == {node.running[POD].id}


def test_a_namespace_that_goes_away_during_del_is_no_failure(node: Bench) -> None:
    made = node.attach()

    def ends(target: Target) -> None:
        if target.netns:
            node.delete_does_nothing = True
            node.stop_sandbox(POD)

    node.before_delete = ends
    node.executor.detach(made)
    assert node.disk == {}


def test_del_that_leaves_the_link_is_a_failure_whatever_it_says(node: Bench) -> None:
    made = node.attach()
    node.delete_does_nothing = True
    with pytest.raises(InterfaceLeft, match=f"{RED.ifname} is still there"):
        node.executor.detach(made)
    assert node.record.phase is Phase.DETACHING


@pytest.mark.parametrize(("phase", "waits"), [(Phase.ATTACHED, 0), (Phase.ATTACHING, 1), (Phase.DETACHING, 1)])
def test_waits_for_plugins_of_an_earlier_life_where_there_can_be_any(node: Bench, phase: Phase, waits: int) -> None:
    made = node.attach()._replace(phase=phase)
    node.put(made)
    node.waited.clear()
    node.executor.detach(made)
    assert node.waited == [(made.sandbox_id, RED.ifname)] * waits


# -- crashes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", range(8))
def test_a_crash_anywhere_in_an_attach_leaves_nothing_that_is_not_recorded(node: Bench, steps: int) -> None:
    node.faults.crash_in = steps
    try:
        node.attach()
    except Crash:
        left = bool(node.links_of(POD) or node.leases)
        assert not left or node.record.phase in (Phase.ATTACHING, Phase.ATTACHED)
    node.faults.crash_in = None
    for made in list(node.disk.values()):
        node.make_executor().detach(made)
    assert (node.links_of(POD), node.leases, node.disk) == (set(), set(), {})


@pytest.mark.parametrize("steps", range(8))
def test_a_crash_anywhere_in_a_detach_leaves_nothing_that_is_not_recorded(node: Bench, steps: int) -> None:
    made = node.attach()
    node.faults.crash_in = steps
    try:
        node.executor.detach(made)
    except Crash:
        assert not (node.links_of(POD) or node.leases) or KEY in node.disk
    node.faults.crash_in = None
    for each in list(node.disk.values()):
        node.make_executor().detach(each)
    assert (node.links_of(POD), node.leases, node.disk) == (set(), set(), {})


# -- drift ----------------------------------------------------------------------------------------------------------


def test_sees_which_links_have_vanished(node: Bench) -> None:
    records = [node.attach(attachment(name)) for name in ("red", "green")]
    assert node.executor.drifted(node.sandbox, records) == []
    node.links[node.sandbox.netns.inode].pop(RED.ifname)
    assert node.executor.drifted(node.sandbox, records) == records[:1]


@pytest.mark.parametrize("change", [{"ifindex": 0}, {"phase": Phase.DETACHING}, {"sandbox_id": "another"}])
def test_only_links_of_this_sandbox_that_were_there_can_have_vanished(node: Bench, change: dict[str, object]) -> None:
    made = node.attach()._replace(**change)
    node.links[node.sandbox.netns.inode].pop(RED.ifname)
    assert node.executor.drifted(node.sandbox, [made]) == []


def test_nothing_is_looked_into_where_nothing_is_recorded(node: Bench) -> None:
    node.stop_sandbox(POD)
    assert node.executor.drifted(node.sandbox, []) == []


def test_every_failure_is_one_the_agent_knows(node: Bench) -> None:
    node.stop_sandbox(POD)
    with pytest.raises(PodagentError):
        node.attach(attachment("green"))
    assert interface_name("green") not in node.links_of(POD)


# -- the watchdog ---------------------------------------------------------------------------------------------------


def test_an_operation_is_allowed_the_time_outs_of_all_plugins_that_it_may_run(node: Bench) -> None:
    one = node.attach().invocation
    chain = one._replace(netconf=NetConf({**one.netconf.json, "plugins": one.netconf.plugins * 3}))
    assert node.executor.allowance(one) >= 3 * 5
    assert node.executor.allowance(chain) >= node.executor.allowance(one) + 4 * 5
