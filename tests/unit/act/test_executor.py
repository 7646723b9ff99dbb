"""One action, and the promise about the order of its steps, on the model of a node."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

import pytest

from podagent.decide.dialects.kaloom_names import interface_name
from podagent.errors import (
    HostNetworkRefused,
    InterfaceLeft,
    NetnsGone,
    NetnsUnavailable,
    NotUndone,
    PluginError,
    SandboxChanged,
    StoreError,
)
from podagent.model import Attachment, NetnsRef, Phase, Record, Sandbox, Target, Via
from podagent.netconf import NetConf
from unit.bench import POD, Bench
from unit.factory import attachment
from unit.nodemodel import Crash, inode_of

RED = interface_name("red")


class Attaching(Bench):
    """A running pod without networks, and the executor's operations on it."""

    def __init__(self) -> None:
        super().__init__()
        self.run()
        self.sandbox = self.running[POD]
        self.via = Via.DELEGATE

    def attach(self, wanted: Attachment | None = None) -> Record:
        wanted = wanted or attachment("red")
        _, call = self.resolve(self.pods[POD], wanted, self.sandbox)
        return self.executor.attach(self.pods[POD], wanted, self.sandbox, self.via, call)

    def inherit(self) -> Record:
        _, call = self.resolve(self.pods[POD], attachment("red"), self.sandbox)
        return self.executor.inherit(self.pods[POD], attachment("red"), self.sandbox, self.via, call, complete=True)

    def detach_all(self) -> None:
        for made in list(self.disk.values()):
            self.executor.detach(made)

    def failing(self, message: str) -> Callable[[], object]:
        def fail() -> None:
            raise PluginError("kactus", message)

        return fail

    def kubelet_replaces_the_sandbox(self) -> None:
        self.start_sandbox(POD)
        self.kubelet_attaches(POD, "red")

    def reboot_unseen(self) -> None:
        """The namespace of a later boot looks like that of the record."""
        self.boot_id = "boot-2"
        self.start_agent()


End = Callable[[Attaching], object]
# How a namespace ends, and the links that its pod has then.
ENDS: dict[str, tuple[End, set[str]]] = {
    "ended": (lambda node: node.stop_sandbox(POD), set()),
    "became another sandbox's": (Attaching.kubelet_replaces_the_sandbox, {RED}),
}


@pytest.fixture
def node() -> Attaching:
    return Attaching()


def test_attaches_and_records_everything_that_detaching_will_need(node: Attaching) -> None:
    seen: list[Phase] = []
    node.before_add = node.after_add = lambda: seen.append(node.record().phase)
    made = node.attach(attachment("red", mac="02:00:00:00:00:01"))
    assert made == node.record()
    assert node.links_of(POD) == {RED: made.ifindex}
    assert ([*seen, made.phase], made.via) == ([Phase.ATTACHING, Phase.ATTACHING, Phase.ATTACHED], Via.DELEGATE)
    assert (made.boot_id, made.adopted) == ("boot-1", False)
    assert (made.sandbox_id, made.netns) == (node.sandbox.id, node.sandbox.netns)
    assert made.result == {"cniVersion": "1.0.0", "ips": [{"address": "10.0.0.2/24"}]}
    assert dict(made.invocation.args) == {"MAC": "02:00:00:00:00:01"}


@pytest.mark.promise("State directory: the disk is full before ADD", "no plugin runs")
def test_no_add_runs_that_could_not_be_recorded(node: Attaching) -> None:
    node.faults.disk_full = True
    for take in (node.attach, node.inherit):
        with pytest.raises(StoreError):
            take()
    assert (node.operations, node.pins) == ([], set())


def test_an_attachment_recorded_before_the_disk_failed_is_completed_and_detached(node: Attaching) -> None:
    node.before_add = lambda: setattr(node.faults, "disk_full", True)
    made = node.attach()
    assert (made.phase, node.links_of(POD)) == (Phase.ATTACHED, {RED: made.ifindex})
    node.executor.detach(made)
    assert node.is_clean()


def test_an_interface_that_is_there_already_is_adopted_without_add_and_detached_like_any_other(node: Attaching) -> None:
    node.kubelet_attaches(POD, "red")
    before = node.links_of(POD)
    made = node.attach()
    assert (made.adopted, made.phase, made.ifindex) == (True, Phase.ATTACHED, before[RED])
    assert node.record() == made
    assert (node.operations, node.links_of(POD)) == ([], before)
    node.executor.detach(made)
    assert node.is_clean()


def test_the_host_network_or_a_sandbox_that_is_gone_is_refused_before_anything_is_done(node: Attaching) -> None:
    node.stop_sandbox(POD)
    with pytest.raises(NetnsGone):
        node.attach()
    node.sandbox = Sandbox("host", None)
    with pytest.raises(HostNetworkRefused, match="default/web"):
        node.attach()
    assert (node.disk, node.operations) == ({}, [])


@pytest.mark.parametrize("mode", ["before", "link left", "both left"])
def test_the_remains_of_a_failed_add_are_undone_and_forgotten(node: Attaching, mode: str) -> None:
    node.faults.add_fails["red"] = mode
    with pytest.raises(PluginError):
        node.attach()
    assert node.is_clean()
    assert node.commands() == ["ADD", "DEL"]


def test_when_undoing_fails_too_it_stays_recorded_and_both_reasons_are_given(node: Attaching) -> None:
    node.faults.add_fails["red"] = "both left"
    node.faults.delete_fails.add("red")
    with pytest.raises(PluginError, match="route failed") as raised:
        node.attach()
    assert isinstance(raised.value.__cause__, NotUndone)
    assert "cannot delete now" in str(raised.value.__cause__)
    assert node.record().phase is Phase.DETACHING
    node.faults.delete_fails.clear()
    node.detach_all()
    assert node.is_clean()


def test_a_bug_in_the_middle_of_add_leaves_a_record_of_it(node: Attaching) -> None:
    def bug() -> None:
        raise RuntimeError("bug")

    node.after_add = bug
    with pytest.raises(RuntimeError):
        node.attach()
    assert node.record().phase is Phase.ATTACHING


@pytest.mark.parametrize(("end", "left"), ENDS.values(), ids=ENDS)
def test_add_is_undone_in_its_namespace_if_the_sandbox_meanwhile(node: Attaching, end: End, left: set[str]) -> None:
    node.after_add = lambda: end(node)
    with pytest.raises(SandboxChanged, match="ended during ADD"):
        node.attach()
    assert node.deleted == [Target(node.sandbox.id, f"/proc/{inode_of(node.sandbox)}/ns/net", RED)]
    assert set(node.links_of(POD)) == left
    assert node.pins == set()
    assert (node.disk, {lease[1:] for lease in node.leases}) == ({}, node.made_by_kubelet)


def test_the_interface_stays_when_the_kubelets_call_of_the_system_plugin_was_first(node: Attaching) -> None:
    node.via = Via.SYSTEM
    node.before_add = lambda: node.kubelet_attaches(POD, "red")
    with pytest.raises(PluginError, match="already exists"):
        node.attach()
    assert (node.disk, set(node.links_of(POD)), node.commands()) == ({}, {RED}, ["ADD"])
    node.before_add = lambda: None
    assert node.attach().adopted


@pytest.mark.parametrize("message", ["network red does not exist", "no such bridge", "nonexistent IPAM range"])
def test_another_failure_of_the_system_plugin_is_undone_although_it_left_a_link(node: Attaching, message: str) -> None:
    node.via = Via.SYSTEM
    node.after_add = node.failing(message)
    with pytest.raises(PluginError, match=message):
        node.attach()
    assert node.is_clean()
    node.before_add = node.failing("veth1234 already exists")
    with pytest.raises(PluginError):
        node.attach()
    assert node.commands() == ["ADD", "DEL", "DEL"], "the interface itself is not there"


@pytest.mark.promise('Plugins: the system plugin\'s ADD fails late with "file exists"', "it is undone and retried")
def test_a_link_without_the_addresses_of_an_add_is_not_the_kubelets(node: Attaching) -> None:
    node.via = Via.SYSTEM
    node.after_add = node.failing("failed to add route 10.0.0.0/24: file exists")
    with pytest.raises(PluginError, match="file exists"):
        node.attach()
    assert node.is_clean()
    assert node.commands() == ["ADD", "DEL"]


def test_a_plugin_that_makes_no_link_is_recorded_without_one(node: Attaching) -> None:
    node.after_add = lambda: node.link_vanishes(POD, "red")
    assert node.attach().ifindex == 0


def test_detaches_as_recorded_and_then_forgets(node: Attaching) -> None:
    made = node.attach()
    seen: list[Phase] = []
    node.before_delete = lambda target: seen.append(node.record().phase)
    node.faults.undefined.add("red")
    node.pods.clear()
    node.executor.detach(made)
    assert node.is_clean()
    assert (node.deleted, seen) == ([made.target(made.netns.path)], [Phase.DETACHING])


def test_a_failed_del_stays_recorded_with_everything_it_needs(node: Attaching) -> None:
    made = node.attach()
    node.faults.delete_fails.add("red")
    with pytest.raises(PluginError, match="cannot delete now"):
        node.executor.detach(made)
    assert node.record() == made._replace(phase=Phase.DETACHING)


@pytest.mark.parametrize(("end", "left"), ENDS.values(), ids=ENDS)
def test_del_runs_in_the_pinned_namespace_of_a_sandbox_that(node: Attaching, end: End, left: set[str]) -> None:
    made = node.attach()
    end(node)
    assert node.pins == {made.netns.inode}
    node.executor.detach(made)
    assert node.deleted == [made.target(made.netns.path)]
    assert (node.pins, set(node.links_of(POD))) == (set(), left)
    assert (node.disk, {lease[1:] for lease in node.leases}) == ({}, node.made_by_kubelet)


def test_a_namespace_stays_pinned_for_the_other_networks_of_its_sandbox(node: Attaching) -> None:
    red, green = node.attach(), node.attach(attachment("green"))
    node.stop_sandbox(POD)
    for made in (red, green):
        assert node.pins == {made.netns.inode}
        node.executor.detach(made)
    assert node.deleted == [made.target(made.netns.path) for made in (red, green)]
    assert node.pins == set()


@pytest.mark.parametrize(("end", "left"), [*ENDS.values(), (Attaching.reboot_unseen, {RED})], ids=[*ENDS, "rebooted"])
def test_del_names_no_namespace_if_that_of_a_record_without_a_pin(node: Attaching, end: End, left: set[str]) -> None:
    made = node.attach()
    node.pins.clear()  # as after 0.4.0
    end(node)
    node.executor.detach(made)
    assert node.deleted == [made.target("")]
    assert set(node.links_of(POD)) == left
    assert (node.disk, {lease[1:] for lease in node.leases}) == ({}, node.made_by_kubelet)


def test_a_namespace_that_goes_away_during_del_is_no_failure(node: Attaching) -> None:
    made = node.attach()
    node.pins.clear()
    node.delete_does_nothing = True
    node.before_delete = lambda target: node.stop_sandbox(POD)
    node.executor.detach(made)
    assert node.disk == {}


def test_del_waits_while_nobody_can_tell_whether_the_namespace_is_there(
    node: Attaching, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unusable(ref: NetnsRef, sandbox_id: str) -> NoReturn:
        raise NetnsUnavailable("too many open files (ENFILE)")

    made = node.attach()
    monkeypatch.setattr(node, "reenter", unusable)
    with pytest.raises(NetnsUnavailable):
        node.executor.detach(made)
    monkeypatch.undo()
    assert (node.record().phase, node.deleted) == (Phase.DETACHING, [])
    assert (set(node.links_of(POD)), len(node.leases)) == ({RED}, 1)
    node.executor.detach(node.record())
    assert node.is_clean()


def test_del_that_leaves_the_link_is_a_failure_whatever_it_reports(node: Attaching) -> None:
    node.attach()
    node.put(node.record()._replace(ifindex=0))  # as after a crash during ADD
    made = node.record()
    node.delete_does_nothing = True
    with pytest.raises(InterfaceLeft, match=f"{RED} is still there"):
        node.executor.detach(made)
    assert node.record().phase is Phase.DETACHING


@pytest.mark.parametrize(("phase", "waits"), [(Phase.ATTACHED, 0), (Phase.ATTACHING, 1), (Phase.DETACHING, 1)])
def test_waits_for_plugins_of_an_earlier_life_where_there_can_be_any(node: Attaching, phase: Phase, waits: int) -> None:
    made = node.attach()._replace(phase=phase)
    node.put(made)
    node.executor.detach(made)
    assert node.awaited == [(made.sandbox_id, RED)] * waits


@pytest.mark.parametrize("steps", range(8))
@pytest.mark.parametrize("operation", ["attach", "detach"])
def test_a_crash_anywhere_leaves_nothing_that_is_not_recorded(node: Attaching, operation: str, steps: int) -> None:
    if operation == "detach":
        node.attach()
    node.faults.crash_in = steps
    try:
        node.attach() if operation == "attach" else node.detach_all()
    except Crash:
        assert not (node.links_of(POD) or node.leases) or node.record()
    node.faults.crash_in = None
    node.start_agent()
    node.detach_all()
    assert node.is_clean()


def test_links_that_have_vanished_are_those_of_this_sandbox_that_were_there(node: Attaching) -> None:
    red, green = records = [node.attach(attachment(name)) for name in ("red", "green")]
    assert node.executor.drifted(node.sandbox, records) == []
    node.link_vanishes(POD, "red")
    others = (red._replace(ifindex=0), red._replace(phase=Phase.DETACHING), red._replace(sandbox_id="another"))
    assert node.executor.drifted(node.sandbox, [*others, red, green]) == [red]
    node.stop_sandbox(POD)
    assert node.executor.drifted(node.sandbox, []) == [], "nothing is looked into"


def test_an_operation_is_allowed_the_time_outs_of_all_plugins_that_it_may_run(node: Attaching) -> None:
    one = node.attach().invocation
    chain = one._replace(netconf=NetConf({**one.netconf.json, "plugins": one.netconf.plugins * 3}))
    assert node.executor.allowance(one) >= 3 * 5
    assert node.executor.allowance(chain) >= node.executor.allowance(one) + 4 * 5
