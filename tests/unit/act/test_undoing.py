"""A DEL that fails, or misses a link that the workload has renamed or moved."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from podagent.act.outcomes import Result
from podagent.decide.dialects.kaloom_names import interface_name
from podagent.errors import CniError, InterfaceLeft, PluginError, PluginNotRun, PluginTimeout
from podagent.model import Phase, Record, Unreleased, Via
from podagent.netconf import NetConf
from unit.bench import POD, Bench
from unit.factory import attachment
from unit.nodemodel import inode_of

RED = interface_name("red")
Tampering = Callable[[Bench], object]


@pytest.fixture
def node() -> Bench:
    made = Bench()
    made.attached("red")
    return made


def moving(node: Bench) -> None:
    """Makes the network one whose plugin moves a device of the host."""
    call = node.record().invocation
    moved = NetConf({**call.netconf.json, "plugins": [{"type": "host-device"}]})
    node.put(node.record()._replace(invocation=call._replace(netconf=moved)))


def renamed(node: Bench) -> None:
    node.link_is_renamed(POD, "red")


def replaced(node: Bench) -> None:
    node.link_is_replaced(POD, "red")


def moved(node: Bench) -> None:
    node.link_is_moved(POD, "red")


TAMPERINGS: list[Tampering] = [renamed, replaced, moved]


@pytest.mark.parametrize("tamper", TAMPERINGS)
@pytest.mark.promise("Interfaces: the workload renames a link, or moves it to a namespace of its own", "it is no drift")
def test_a_link_is_not_drift_that_the_workload_has(node: Bench, tamper: Tampering) -> None:
    tamper(node)
    before = node.attached_to(POD)
    node.look(verify=True)
    assert (node.attached_to(POD), node.commands()) == (before, ["ADD"])


@pytest.mark.parametrize(
    ("tamper", "reported"),
    [(renamed, ""), (replaced, "removed by its index"), (moved, "removed with its end on the host")],
)
def test_unplugging_removes_the_link_but_no_other_one_under_its_name(
    node: Bench, tamper: Tampering, reported: str
) -> None:
    tamper(node)
    node.want()
    node.look()
    assert (node.attached_to(POD), node.disk, node.leases) == ({}, {}, set())
    assert {*node.links_of(POD).values()} == node.foreign
    (detached,) = node.report.those(Result.DETACHED)
    assert reported in detached.remark
    assert bool(reported) == bool(detached.remark)


def test_a_link_that_came_back_with_another_index_is_still_the_attachments(node: Bench) -> None:
    """As after a move to another namespace and back, if the index was taken meanwhile."""
    node.put(node.record()._replace(ifindex=99, mac="02:00:00:00:00:07"))
    node.macs[node.links_of(POD)[RED]] = "02:00:00:00:00:07"
    node.look(verify=True)
    assert node.commands() == ["ADD"]


def test_a_device_of_the_host_gets_its_name_back_before_its_plugin_looks_for_it(node: Bench) -> None:
    moving(node)
    renamed(node)
    seen: list[set[str]] = []
    node.before_delete = lambda target: seen.append(set(node.links_of(POD)))
    node.executor.detach(node.record())
    assert (seen, node.is_clean()) == ([{RED}], True)


def test_a_device_of_the_host_whose_name_is_taken_waits_until_the_pod_has_ended(node: Bench) -> None:
    moving(node)
    replaced(node)
    with pytest.raises(InterfaceLeft, match=f"its link is now .*-nic, and cannot be named {RED} again"):
        node.executor.detach(node.record())
    assert len(node.attached_to(POD)) == 1
    made = node.record()
    node.stop_sandbox(POD)
    node.executor.detach(made)
    assert (node.disk, node.leases, node.links) == ({}, set(), {})


def test_a_device_of_the_host_is_never_removed_by_its_index(node: Bench) -> None:
    moving(node)
    node.delete_does_nothing = True
    with pytest.raises(InterfaceLeft, match=f"{RED} is still there"):
        node.executor.detach(node.record())
    assert set(node.links_of(POD)) == {RED}


# --- a DEL that keeps failing


def stub_release(
    node: Bench, monkeypatch: pytest.MonkeyPatch, *answers: tuple[Unreleased, ...]
) -> list[tuple[int, ...]]:
    """The plugins answer like this, one DEL after the other. Returns the positions that each was asked for."""
    asked: list[tuple[int, ...]] = []
    rest = iter(answers)

    def release(call: object, target: object, added: object, positions: tuple[int, ...] = ()) -> tuple[Unreleased, ...]:
        asked.append(positions)
        return next(rest)

    monkeypatch.setattr(node, "release", release)
    return asked


SBR, BRIDGE = (Unreleased(position, PluginError(name, "fails")) for position, name in ((1, "sbr"), (0, "bridge")))


def detach(node: Bench) -> None:
    with pytest.raises(CniError, match=r"CNI plugin .* fails"):
        node.executor.detach(node.record())


def test_after_the_first_failure_all_plugins_are_asked_and_then_those_that_failed_alone(
    node: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.faults.delete_fails.add("red")
    with pytest.raises(CniError):
        node.executor.detach(node.record())
    asked = stub_release(node, monkeypatch, (SBR, BRIDGE), (SBR,), (SBR,), ())
    detach(node)
    detach(node)
    detach(node)
    assert asked == [(), (1, 0), (1,)]
    node.link_vanishes(POD, "red")
    node.executor.detach(node.record())
    assert node.disk == {}


def test_without_a_sandbox_all_plugins_are_asked_at_once(node: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = stub_release(node, monkeypatch, (SBR,))
    node.stop_sandbox(POD)
    detach(node)
    assert (asked, node.record().left) == ([()], (1,))


def ghost(node: Bench, phase: Phase = Phase.DETACHING) -> Record:
    """The record of an attachment whose ADD has failed before it made an interface."""
    node.link_vanishes(POD, "red")
    made = node.record()._replace(phase=phase, result=None, ifindex=0, peer=0)
    node.put(made)
    return made


@pytest.mark.parametrize(
    "left",
    [BRIDGE, BRIDGE._replace(lease="in /leases", ipam_ran=False)],
    ids=["its address is released", "its IPAM plugin cannot be run"],
)
@pytest.mark.promise("Plugins: ADD and every DEL of a faulty definition fail", "the record ends, with a warning")
def test_an_attachment_that_never_had_an_interface_ends_after_the_next_del(
    node: Bench, monkeypatch: pytest.MonkeyPatch, left: Unreleased
) -> None:
    ghost(node)
    stub_release(node, monkeypatch, (left,))
    remark = node.executor.detach(node.record())
    assert (node.disk, node.pins) == ({}, set())
    assert "no interface was ever made" in remark
    assert ("in /leases" in remark) == bool(left.lease)


def test_an_attachment_whose_interface_is_gone_ends_when_its_address_is_released(
    node: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.link_vanishes(POD, "red")
    node.put(node.record()._replace(phase=Phase.DETACHING, left=(0,), failures=3))
    stub_release(node, monkeypatch, (BRIDGE,), (BRIDGE._replace(lease="in /leases"),), (BRIDGE,))
    detach(node)
    detach(node)
    assert "the interface is gone" in node.executor.detach(node.record())
    assert node.disk == {}


def moved_while_detaching(node: Bench) -> None:
    moved(node)
    node.put(node.record()._replace(phase=Phase.DETACHING, left=(0,), failures=9))


def ghost_without_sandbox(node: Bench) -> None:
    ghost(node, Phase.ATTACHING)
    node.stop_sandbox(POD)


NOT_YET: dict[str, Callable[[Bench], object]] = {
    "its first DEL has failed": lambda node: ghost(node, Phase.ATTACHING),
    "its first DEL has failed, without a sandbox": ghost_without_sandbox,
    "only the system plugin can tell": lambda node: node.put(ghost(node)._replace(via=Via.SYSTEM)),
    "a link of its name exists": lambda node: node.put(node.record()._replace(phase=Phase.DETACHING, ifindex=0)),
    "its link exists": lambda node: node.put(node.record()._replace(phase=Phase.DETACHING, left=(0,), failures=9)),
    "it has no kernel link": lambda node: node.put(ghost(node)._replace(result={"ips": []}, left=(0,), failures=9)),
    "its link was moved": moved_while_detaching,
}


@pytest.mark.parametrize("reason", NOT_YET)
def test_an_attachment_does_not_end_by_failures_while(
    node: Bench, monkeypatch: pytest.MonkeyPatch, reason: str
) -> None:
    NOT_YET[reason](node)
    monkeypatch.setattr(node, "delete", failing)
    stub_release(node, monkeypatch, (BRIDGE,))
    detach(node)
    assert node.record().phase is Phase.DETACHING


def failing(*_: object) -> None:
    raise PluginError("bridge", "fails")


def test_a_link_that_no_del_can_remove_goes_when_its_pod_has_ended(
    node: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = node.record()
    stub_release(node, monkeypatch, *[(BRIDGE,)] * 5)
    node.stop_sandbox(POD)
    for _ in range(4):
        detach(node)
    assert RED not in node.links[made.netns.inode]
    node.executor.detach(node.record())
    assert (node.disk, node.pins, node.links) == ({}, set(), {})


@pytest.mark.parametrize(
    "error", [PluginError("bridge", "later", 11), PluginTimeout("bridge", "hangs"), PluginNotRun("bridge", "missing")]
)
def test_a_failure_that_may_pass_ends_nothing(node: Bench, monkeypatch: pytest.MonkeyPatch, error: PluginError) -> None:
    node.put(ghost(node)._replace(left=(0,), failures=9))
    stub_release(node, monkeypatch, (Unreleased(0, error),))
    with pytest.raises(PluginError):
        node.executor.detach(node.record())
    assert node.record().failures == 10


# --- a hostile workload


def unplug(node: Bench) -> None:
    node.executor.detach(node.record())


def decoy(node: Bench, name: str = RED, **same: object) -> int:
    """Another link that the workload makes. Returns its index."""
    index = int(str(same.get("index", 900)))
    node.links[inode_of(node.running[POD])][name] = index
    node.foreign.add(index)
    node.macs[index] = str(same.get("mac", ""))
    return index


def test_another_link_with_the_name_and_the_mac_address_does_not_hide_the_real_one(node: Bench) -> None:
    node.put(node.record()._replace(mac="02:00:00:00:00:07"))
    renamed(node)
    index = decoy(node, mac="02:00:00:00:00:07")
    unplug(node)
    assert node.links_of(POD) == {RED: index}
    assert (node.leases, node.disk) == (set(), {})


def test_another_link_with_the_index_does_not_hide_one_that_was_moved(node: Bench) -> None:
    index = node.record().ifindex
    moved(node)
    decoy(node, index=index)
    unplug(node)
    assert (node.moved, node.leases, node.disk) == ({}, set(), {})


def test_a_link_that_is_renamed_during_add_is_recognised_by_its_end_on_the_host(node: Bench) -> None:
    node.after_add = lambda: node.link_is_replaced(POD, "green")
    node.want("red", "green")
    node.look()
    made = node.record("green")
    assert node.born[made.ifindex] == made.attachment.ifname
    assert made.ifindex not in node.foreign
    node.executor.detach(made)
    assert set(node.attached_to(POD)) == {RED}


def test_a_device_of_the_host_is_not_recognised_by_a_mac_address(node: Bench) -> None:
    moving(node)
    node.put(node.record()._replace(mac="02:00:00:00:00:07"))
    renamed(node)
    decoy(node, mac="02:00:00:00:00:07")
    with pytest.raises(InterfaceLeft, match="cannot be named"):
        unplug(node)
    node.link_vanishes(POD, "red")
    unplug(node)
    assert node.is_clean()


def test_without_its_device_the_plugin_gets_no_namespace_to_look_for_another_one(node: Bench) -> None:
    moving(node)
    node.link_vanishes(POD, "red")
    decoy(node)
    unplug(node)
    assert [target.netns for target in node.deleted] == [""]


def test_a_failed_add_that_moved_no_device_gives_the_host_no_other_one(node: Bench) -> None:
    """The workload makes a link of the name before the rollback."""
    sandbox, wanted = node.running[POD], attachment("green")
    via, call = node.resolve(node.pods[POD], wanted, sandbox)
    call = call._replace(netconf=NetConf({**call.netconf.json, "plugins": [{"type": "host-device"}]}))

    def fail_beside_a_decoy() -> None:
        decoy(node, wanted.ifname, mac="02:00:00:00:0a:01")
        raise PluginError("host-device", "no such device")

    node.before_add = fail_beside_a_decoy
    with pytest.raises(PluginError):
        node.executor.attach(node.pods[POD], wanted, sandbox, via, call)
    assert node.deleted[-1].netns == ""
    assert wanted.ifname in node.links_of(POD)
    assert set(node.disk) == {(POD, RED)}


def test_a_device_that_the_system_plugin_moved_in_is_not_removed(node: Bench) -> None:
    node.put(node.record()._replace(via=Via.SYSTEM, peer=0))
    node.delete_does_nothing = True
    made = node.record()
    node.stop_sandbox(POD)
    with pytest.raises(InterfaceLeft, match="still there"):
        node.executor.detach(made)
    assert RED in node.links[made.netns.inode]


def test_a_link_of_the_workload_holds_no_attachment_without_one_beyond_the_pods_end(node: Bench) -> None:
    """As with vhost-user."""
    node.link_vanishes(POD, "red")
    node.put(node.record()._replace(ifindex=0, peer=0))
    decoy(node)
    node.delete_does_nothing = True
    with pytest.raises(InterfaceLeft):
        unplug(node)
    made = node.record()
    node.stop_sandbox(POD)
    node.executor.detach(made)
    assert (node.disk, node.pins) == ({}, set())


def test_any_names_of_the_workload_let_a_device_of_the_host_go_at_the_pods_end(node: Bench) -> None:
    moving(node)
    replaced(node)
    decoy(node, "was-0")
    made = node.record()
    node.stop_sandbox(POD)
    node.executor.detach(made)
    assert (node.disk, node.links) == ({}, {})
