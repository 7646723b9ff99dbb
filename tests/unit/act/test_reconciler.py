"""One pod at a time brought to what it wants: waiting, failing apart, cleaning up, on the model of a node."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from podagent.act.outcomes import Result
from podagent.decide.dialects.kaloom_names import interface_name
from podagent.errors import HostNetworkRefused, PodNotReady
from podagent.model import Attachment, Invocation, Operation, Phase, Pod, PodKey, Sandbox, Via
from unit.bench import POD, Bench, networks_of
from unit.factory import UID, pod

OTHER = PodKey("another", POD.name, "other-uid")
RED = interface_name("red")
RED_WITH_MAC = {"name": "red", "ifMac": "02:00:00:00:00:01"}


class Unready(Bench):
    """The kubelet's part is waited for, as where the system plugin attaches; `bug_in` names a network with a bug."""

    bug_in = ""

    def resolve(self, pod: Pod, attachment: Attachment, sandbox: Sandbox) -> tuple[Via, Invocation]:
        if not (pod.phase == "Running" and sandbox.populated):
            raise PodNotReady(f"pod {pod.key} is still being set up")
        if attachment.network == self.bug_in:
            raise ZeroDivisionError("bug")
        return super().resolve(pod, attachment, sandbox)


@pytest.fixture
def node() -> Unready:
    return Unready()


# -- the normal course ----------------------------------------------------------------------------------------------


def test_attaches_what_is_wanted_and_detaches_what_is_not(node: Bench) -> None:
    node.run("red", "green")
    assert node.look() is None
    assert node.done() == {"red", "green"}
    node.want("green", "blue")
    assert node.look() is None
    assert node.done() == {"green", "blue"}
    assert set(node.links_of(POD)) == {interface_name("green"), interface_name("blue")}
    assert networks_of(node.report.those(Result.ATTACHED)) == ["red", "green", "blue"]
    assert networks_of(node.report.those(Result.DETACHED)) == ["red"]
    assert node.commands() == ["ADD", "ADD", "DEL", "ADD"]


def test_looking_again_does_nothing(node: Bench) -> None:
    node.attached("red")
    assert [node.look(verify=verify) for verify in (False, True)] == [None, None]
    assert node.commands() == ["ADD"]


def test_attaches_lower_layers_first_and_detaches_them_last(node: Bench) -> None:
    node.attached("vlan", {"name": "bond", "upperLayers": ["vlan"]})
    node.want()
    node.look()
    assert networks_of(node.report.those(Result.ATTACHED)) == ["bond", "vlan"]
    assert networks_of(node.report.those(Result.DETACHED)) == ["vlan", "bond"]


def test_a_changed_address_is_attached_again(node: Bench) -> None:
    node.attached("red")
    node.want(RED_WITH_MAC)
    node.look()
    assert node.commands() == ["ADD", "DEL", "ADD"]
    assert node.record().attachment.mac == "02:00:00:00:00:01"


def test_a_replaced_sandbox_gets_its_networks_and_the_old_ones_lease_goes(node: Bench) -> None:
    node.attached("red")
    new = node.start_sandbox(POD)
    assert node.look() is None
    assert {sandbox for _, sandbox, _ in node.leases} == {new.id}
    assert set(node.links_of(POD)) == {RED}


def test_a_vanished_link_is_noticed_when_asked_to_verify_and_attached_again(node: Bench) -> None:
    node.attached("red", "green")
    node.link_vanishes(POD, "red")
    assert node.look() is None
    assert set(node.links_of(POD)) == {interface_name("green")}
    assert node.look(verify=True) is None
    assert set(node.links_of(POD)) == {RED, interface_name("green")}
    assert networks_of(node.report.those(Result.DRIFTED)) == ["red"]
    assert node.commands("green") == ["ADD"]


def test_a_sandbox_that_cannot_be_looked_into_is_taken_as_it_was_recorded(
    node: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(ref: object) -> None:
        raise HostNetworkRefused("it is the host's")

    node.attached("red", "green")
    with monkeypatch.context() as patched:
        patched.setattr(node, "hold", refused)
        assert node.look(verify=True) is None
    node.links.clear()
    assert node.look(verify=True) is None
    assert node.done() == {"red", "green"}


# -- the annotation -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["{not json", '{"name": "red"}', "[7]", '[{"name": "../../x"}]'])
def test_a_malformed_annotation_detaches_nothing_and_is_reported(node: Bench, text: str) -> None:
    node.attached("red")
    node.change(annotations=pod(text).annotations)
    assert node.look(verify=True) is None
    assert (node.done(), node.commands()) == ({"red"}, ["ADD"])
    assert node.report.those(Result.INVALID)


def test_valid_siblings_of_a_faulty_entry_are_served_and_it_stays_as_it_is(node: Bench) -> None:
    node.attached("red")
    node.want({"name": "red", "ifMac": "nonsense"}, "green")
    assert node.look() is None
    assert node.done() == {"red", "green"}


def test_a_fault_of_the_annotation_is_reported_once_and_again_when_it_comes_back(node: Bench) -> None:
    node.attached({"name": "red", "ifMac": 7})
    node.want("red")
    node.look()
    node.want({"name": "red", "ifMac": 7})
    node.look()
    node.look()
    assert len(node.report.those(Result.INVALID)) == 2


# -- failing apart, and trying again --------------------------------------------------------------------------------


def test_a_failing_network_delays_neither_its_siblings_nor_other_pods(node: Bench) -> None:
    node.faults.add_fails["red"] = "before"
    node.run("red", "green")
    node.run("green", who=OTHER)
    wait = node.fails()
    assert 0.8 <= wait <= 1.2
    assert node.done() == {"green"}
    assert node.look(OTHER) is None
    (failed,) = node.report.those(Result.FAILED)
    assert (failed.operation, networks_of([failed]), failed.retry_in) == (Operation.ATTACH, ["red"], wait)
    assert "no such bridge" in str(failed.error)


def test_a_failing_detach_delays_neither_its_siblings_nor_an_attach(node: Bench) -> None:
    node.attached("red", "green")
    node.faults.delete_fails.add("red")
    node.want("blue")
    node.fails()
    assert node.done() == {"blue"}
    assert node.record("red").phase is Phase.DETACHING
    (failed,) = node.report.those(Result.FAILED)
    assert (failed.operation, networks_of([failed])) == (Operation.DETACH, ["red"])


def test_a_failed_attach_is_not_tried_again_before_its_time(node: Bench) -> None:
    node.faults.add_fails["red"] = "before"
    node.run("red")
    wait = node.fails()
    node.now += wait / 2
    assert node.look() == pytest.approx(wait / 2)
    assert node.commands() == ["ADD", "DEL"]
    node.now += wait
    assert 1.6 <= node.fails() <= 2.4
    assert node.commands() == ["ADD", "DEL"] * 2


def test_tries_for_ever_and_at_least_every_six_minutes(node: Bench) -> None:
    node.faults.add_fails["red"] = "before"
    node.run("red")
    for _ in range(40):
        wait = node.fails()
        assert 0 < wait <= 360
        node.now += wait
    assert node.commands().count("ADD") == 40
    node.faults.add_fails.clear()
    assert node.look() is None
    assert node.done() == {"red"}


@pytest.mark.parametrize(
    "change",
    [lambda node: node.want(RED_WITH_MAC), lambda node: node.start_sandbox(POD)],
    ids=["the entry changes", "the sandbox is replaced"],
)
def test_an_attach_that_failed_often_is_tried_at_once_when(node: Bench, change: Callable[[Bench], object]) -> None:
    node.faults.add_fails["red"] = "before"
    node.run("red")
    node.fail_often()
    node.faults.add_fails.clear()
    change(node)
    assert node.look() is None
    assert node.done() == {"red"}


def test_an_entry_taken_out_and_put_back_is_tried_at_once(node: Bench) -> None:
    node.faults.add_fails["red"] = "before"
    node.run("red", "green")
    node.fail_often()
    node.want("green")
    assert node.look() is None
    node.faults.add_fails.clear()
    node.want("red", "green")
    assert node.look() is None
    assert node.done() == {"red", "green"}


@pytest.mark.parametrize(
    ("change", "left"),
    [(lambda node: node.want("red"), {"red"}), (lambda node: node.pods.clear(), set())],
    ids=["it is wanted again", "the pod is gone"],
)
def test_a_detach_that_failed_often_is_tried_at_once_when(
    node: Bench, change: Callable[[Bench], object], left: set[str]
) -> None:
    node.attached("red")
    node.faults.delete_fails.add("red")
    node.want()
    node.fail_often()
    node.faults.delete_fails.clear()
    change(node)
    assert node.look() is None
    assert (node.done(), len(node.disk)) == (left, len(left))


def test_an_interface_that_cannot_be_detached_is_not_attached_over(node: Bench) -> None:
    node.attached("red")
    node.faults.delete_fails.add("red")
    node.want(RED_WITH_MAC)
    node.fails()
    assert node.commands() == ["ADD", "DEL"]


def test_a_bug_in_one_attachment_does_not_stop_its_siblings_and_is_tried_again(node: Unready) -> None:
    node.bug_in = "red"
    node.run("red", "green")
    node.fails()
    assert node.done() == {"green"}
    (failed,) = node.report.those(Result.FAILED)
    assert isinstance(failed.error, ZeroDivisionError)


def test_nothing_is_remembered_of_networks_that_nobody_wants_any_more(node: Bench) -> None:
    node.run()
    for number in range(200):
        node.faults.undefined.add(f"n{number}")
        node.want(f"n{number}")
        node.fails()
        node.now += 1
    assert len(node.attempts.snapshot()[POD]) == 1
    node.want()
    node.look()
    assert node.attempts.snapshot() == {}


# -- waiting --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trouble", ["no sandbox", "runtime down"])
def test_waiting_for_a_sandbox_is_reported_and_is_no_failure(node: Bench, trouble: str) -> None:
    node.run("red")
    node.faults.runtime_down = trouble == "runtime down"
    if trouble == "no sandbox":
        node.stop_sandbox(POD)
    assert 0 < node.fails() < 2
    assert [outcome.result for outcome in node.report.outcomes] == [Result.WAITING]
    node.faults.runtime_down = False
    if trouble == "no sandbox":
        node.start_sandbox(POD)
    assert node.look() is None
    assert node.done() == {"red"}
    assert node.attempts.snapshot() == {}


def test_an_unwanted_network_goes_though_the_runtime_is_down(node: Bench) -> None:
    node.attached("red", "green")
    node.faults.runtime_down = True
    node.want("green")
    node.fails()
    assert node.done() == {"green"}
    node.want()
    assert node.look() is None
    assert node.disk == {}


def test_a_pod_without_networks_never_bothers_the_runtime(node: Bench) -> None:
    node.run()
    node.faults.runtime_down = True
    assert node.look(verify=True) is None
    assert node.report.outcomes == []


@pytest.mark.parametrize("unready", ["the pod is pending", "the sandbox is not populated"])
def test_the_kubelets_work_is_waited_for_as_no_failure_and_its_end_is_not_missed(node: Bench, unready: str) -> None:
    node.run("red")
    ready = node.running[POD]
    if unready == "the pod is pending":
        node.change(phase="Pending")
    else:
        node.running[POD] = ready._replace(populated=False)
    node.fail_often()
    assert {outcome.result for outcome in node.report.outcomes} == {Result.WAITING}
    node.running[POD] = ready
    node.change(phase="Running")
    assert node.look() is None
    assert node.done() == {"red"}


# -- pods that end --------------------------------------------------------------------------------------------------


def test_a_pod_that_is_gone_is_cleaned_up_and_forgotten(node: Bench) -> None:
    node.attached("red", "green")
    node.pods.clear()
    node.stop_sandbox(POD)
    assert node.look() is None
    assert node.is_clean()
    assert [outcome.pod for outcome in node.report.those(Result.DETACHED)] == [None, None]
    assert node.attempts.snapshot() == {}


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_finished_pod_is_cleaned_up_whatever_its_annotation_says(node: Bench, phase: str) -> None:
    node.attached("red")
    node.change(phase=phase)
    assert node.look() is None
    assert node.is_clean()


def test_cleaning_up_is_tried_until_it_succeeds(node: Bench) -> None:
    node.attached("red", "green")
    node.faults.delete_fails.add("red")
    node.pods.clear()
    node.fails()
    assert list(node.attempts.snapshot()) == [POD]
    assert [network for network, *_ in node.leases] == ["red"]
    node.faults.delete_fails.clear()
    node.now += 10
    assert node.look() is None
    assert node.is_clean()


def test_an_unknown_pod_is_no_work(node: Bench) -> None:
    assert node.look(PodKey("default", "unknown", UID)) is None
    assert node.operations == []


def test_a_static_pod_whose_mirror_vanished_is_left_alone_while_it_runs(node: Bench) -> None:
    node.attached("red", static=True)
    node.pods.clear()
    assert node.look() == 10
    node.faults.runtime_down = True
    assert node.look() == 10, "it may still run"
    node.faults.runtime_down = False
    assert node.done() == {"red"}
    node.stop_sandbox(POD)
    assert node.look() is None
    assert node.is_clean()


# -- stopping -------------------------------------------------------------------------------------------------------


def test_stops_between_two_actions_and_starts_no_other(node: Bench) -> None:
    def stop() -> None:
        node.stop = True

    node.run("red", "green", "blue")
    node.after_add = stop
    node.look()
    assert node.done() == {"red"}
    node.stop, node.after_add = False, lambda: None
    assert node.look() is None
    node.want()
    node.after_delete = stop
    node.look()
    assert len(node.disk) == 2
