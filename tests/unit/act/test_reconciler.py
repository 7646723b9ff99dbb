"""One pod at a time brought to what it wants: waiting, failing apart, cleaning up, on the model of a node."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from podagent.act.outcomes import Result
from podagent.decide.attempts import Subject
from podagent.decide.dialects.kaloom_names import interface_name
from podagent.errors import HostNetworkRefused, NetnsUnavailable, PodNotReady, SandboxNotFound
from podagent.model import Attachment, Invocation, Operation, Phase, Pod, PodKey, Sandbox, Via
from unit.bench import POD, Bench, networks_of
from unit.factory import UID, pod

OTHER = PodKey("another", POD.name, "other-uid")
RED = interface_name("red")
RED_WITH_MAC = {"name": "red", "ifMac": "02:00:00:00:00:01"}


class Unready(Bench):
    """The kubelet's part is waited for, as where the system plugin attaches; `bug_in` names a network with a bug."""

    bug_in = ""

    def runtime_answers(self, does: bool) -> None:
        self.faults.runtime_down = not does

    def populate(self, populated: bool) -> None:
        self.running[POD] = self.running[POD]._replace(populated=populated)

    def resolve(self, pod: Pod, attachment: Attachment, sandbox: Sandbox) -> tuple[Via, Invocation]:
        if not (pod.phase == "Running" and sandbox.populated):
            raise PodNotReady(f"pod {pod.key} is still being set up")
        if attachment.network == self.bug_in:
            raise ZeroDivisionError("bug")
        return super().resolve(pod, attachment, sandbox)


@pytest.fixture
def node() -> Unready:
    return Unready()


def test_attaches_what_is_wanted_detaches_what_is_not_and_then_has_nothing_to_do(node: Bench) -> None:
    node.run("red", "green")
    assert node.look() is None
    assert node.done() == {"red", "green"}
    node.want("green", "blue")
    assert [node.look(verify=verify) for verify in (False, False, True)] == [None] * 3
    assert node.done() == {"green", "blue"}
    assert set(node.links_of(POD)) == {interface_name("green"), interface_name("blue")}
    assert networks_of(node.report.those(Result.ATTACHED)) == ["red", "green", "blue"]
    assert networks_of(node.report.those(Result.DETACHED)) == ["red"]
    assert node.commands() == ["ADD", "ADD", "DEL", "ADD"]


def test_an_interface_that_a_guest_may_not_see_is_attached_with_a_remark(node: Bench) -> None:
    node.run("red")
    node.running[POD] = node.running[POD]._replace(guest="gVisor")
    assert node.look() is None
    (attached,) = node.report.those(Result.ATTACHED)
    assert "gVisor" in attached.remark
    assert set(node.links_of(POD)) == {RED}


def test_an_interface_with_another_address_is_attached_again_but_not_over_one_that_cannot_be_detached(
    node: Bench,
) -> None:
    node.attached("red")
    node.faults.delete_fails.add("red")
    node.want(RED_WITH_MAC)
    node.now += node.fails()
    assert node.commands() == ["ADD", "DEL"]
    node.faults.delete_fails.clear()
    assert node.look() is None
    assert node.commands() == ["ADD", "DEL", "DEL", "ADD"]
    assert node.record().attachment.mac == RED_WITH_MAC["ifMac"]


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


def test_a_vanished_link_is_reported_after_the_attempt_to_repair_it_with_its_outcome_once(node: Bench) -> None:
    node.attached("red", "green")
    node.link_vanishes(POD, "red")
    node.faults.delete_fails.add("red")
    for _ in range(3):
        node.now += node.look(verify=True) or 0
    *_, failed, drifted = node.report.outcomes[:4]
    assert (failed.result, drifted.result, drifted.error) == (Result.FAILED, Result.DRIFTED, failed.error)
    assert len(node.report.those(Result.DRIFTED)) == 1
    node.link_vanishes(POD, "green")
    node.look(verify=True)
    *_, attached, drifted = (each for each in node.report.outcomes if networks_of([each]) == ["green"])
    assert (attached.result, drifted.result, drifted.error) == (Result.ATTACHED, Result.DRIFTED, None)


def test_a_vanished_link_that_is_not_wanted_any_more_before_its_repair_is_not_reported(node: Bench) -> None:
    node.attached("red")
    node.link_vanishes(POD, "red")
    node.stop = True
    node.look(verify=True)
    node.stop = False
    node.want()
    assert node.look() is None
    node.want("red")
    assert node.look() is None
    assert node.report.those(Result.DRIFTED) == []


def test_a_sandbox_that_cannot_be_looked_into_is_taken_as_it_was_recorded(
    node: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(ref: object, sandbox_id: str) -> None:
        raise HostNetworkRefused("it is the host's")

    node.attached("red", "green")
    with monkeypatch.context() as patched:
        patched.setattr(node, "enter", refused)
        assert node.look(verify=True) is None
    assert node.done() == {"red", "green"}


def test_the_namespace_of_what_an_earlier_version_attached_is_pinned_when_it_is_verified(node: Bench) -> None:
    node.attached("red")
    node.pins.clear()
    node.look(verify=True)
    assert node.pins == {node.record().netns.inode}


def test_networks_are_detached_when_their_sandbox_has_ended_not_when_the_runtime_overlooks_it(
    node: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(pod: PodKey) -> Sandbox:
        raise SandboxNotFound(pod)

    node.attached("red", "green")
    with monkeypatch.context() as patched:
        patched.setattr(node, "find_sandbox", none)
        node.fails()
    assert node.done() == {"red", "green"}
    node.stop_sandbox(POD)
    node.fails()
    assert node.is_clean()
    assert (node.commands(), node.pins) == (["ADD"] * 2 + ["DEL"] * 2, set())
    node.start_sandbox(POD)
    assert (node.look(), node.done()) == (None, {"red", "green"})


def test_a_sandbox_that_cannot_be_looked_into_now_is_reported_and_looked_into_again(
    node: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(ref: object, sandbox_id: str) -> None:
        raise NetnsUnavailable("permission denied (EACCES)")

    node.attached("red")
    node.link_vanishes(POD, "red")
    with monkeypatch.context() as patched:
        patched.setattr(node, "enter", denied)
        waits = [node.look(verify=True) for _ in range(3)]
    assert all(waits), "it is tried once, and then only after its backoff"
    (failed,) = node.report.those(Result.FAILED)
    assert (failed.operation, str(failed.error)) == (Operation.VERIFY, "permission denied (EACCES)")
    node.now += 2
    assert node.look(verify=True) is None
    assert set(node.links_of(POD)) == {RED}


def test_a_vanished_link_that_may_not_be_made_again_yet_is_looked_at_when_it_may(node: Bench) -> None:
    node.attached("red")
    for _ in range(2):
        node.link_vanishes(POD, "red")
        wait = node.look(verify=True)
    assert wait
    node.now += wait
    assert node.look(verify=True) is None
    assert set(node.links_of(POD)) == {RED}


@pytest.mark.parametrize("text", ["{not json", '[{"name": "../../x"}]'])
def test_a_malformed_annotation_detaches_nothing_and_is_reported(node: Bench, text: str) -> None:
    node.attached("red")
    node.change(annotations=pod(text).annotations)
    assert node.look(verify=True) is None
    assert (node.done(), node.commands()) == ({"red"}, ["ADD"])
    assert node.report.those(Result.INVALID)


def test_a_faulty_entry_stays_as_it_is_beside_its_siblings_and_is_news_until_it_is_corrected(node: Bench) -> None:
    faulty = {"name": "red", "ifMac": "nonsense"}
    node.attached("red")
    for entry, faults in ((faulty, 1), (faulty, 1), ("red", 1), (faulty, 2)):
        node.want(entry, "green")
        assert node.look() is None
        assert node.done() == {"red", "green"}
        assert len(node.report.those(Result.INVALID)) == faults


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


def test_a_pod_of_the_hosts_network_is_refused_once_until_it_changes(node: Bench) -> None:
    node.run("red", host_network=True)
    for _ in range(5):
        assert node.look(verify=True) is None
        node.now += 1000
    (refused,) = node.report.those(Result.FAILED)
    assert (refused.retry_in, str(refused.error)) == (
        None,
        f"pod {POD} uses the host's network: nothing is attached to it",
    )
    node.change(host_network=False)
    node.start_sandbox(POD)
    assert node.look() is None
    assert node.done() == {"red"}


def test_a_failing_detach_delays_neither_its_siblings_nor_an_attach(node: Bench) -> None:
    node.attached("red", "green")
    node.faults.delete_fails.add("red")
    node.want("blue")
    node.fails()
    assert node.done() == {"blue"}
    assert node.record("red").phase is Phase.DETACHING
    (failed,) = node.report.those(Result.FAILED)
    assert (failed.operation, networks_of([failed])) == (Operation.DETACH, ["red"])


def test_a_failed_attach_is_tried_again_at_its_time_for_ever_and_at_least_every_six_minutes(node: Bench) -> None:
    node.faults.add_fails["red"] = "before"
    node.run("red")
    waits: list[float] = []
    for tries in range(1, 41):
        waits.append(node.fails())
        node.now += waits[-1] / 2
        assert node.look() == pytest.approx(waits[-1] / 2)
        assert node.commands() == ["ADD", "DEL"] * tries
        node.now += waits[-1]
    assert 1.6 <= waits[1] <= 2.4
    assert 0 < min(waits) < max(waits) <= 360
    node.faults.add_fails.clear()
    assert node.look() is None
    assert node.done() == {"red"}


@pytest.mark.parametrize(
    "change",
    [
        lambda node: node.want(RED_WITH_MAC),
        lambda node: node.start_sandbox(POD),
        lambda node: (node.want("green"), node.look(), node.want("red")),
    ],
    ids=["the entry changes", "the sandbox is replaced", "the entry is taken out and put back"],
)
def test_an_attach_that_failed_often_is_tried_at_once_when(node: Bench, change: Callable[[Bench], object]) -> None:
    node.faults.add_fails["red"] = "before"
    node.run("red")
    node.fail_often()
    node.faults.add_fails.clear()
    change(node)
    assert node.look() is None
    assert node.done() == {"red"}


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
    node.stop_sandbox(POD)
    node.look()
    assert node.attempts.failing(Subject(Operation.FIND)) == [POD]
    node.want()
    node.look()
    assert node.attempts.snapshot() == {}


@pytest.mark.parametrize(
    ("begin", "end"),
    [
        (lambda node: node.stop_sandbox(POD), lambda node: node.start_sandbox(POD)),
        (lambda node: node.runtime_answers(False), lambda node: node.runtime_answers(True)),
        (lambda node: node.change(phase="Pending"), lambda node: node.change(phase="Running")),
        (lambda node: node.populate(False), lambda node: node.populate(True)),
    ],
    ids=["there is no sandbox", "the runtime is down", "the pod is pending", "the sandbox is not populated"],
)
def test_an_attach_waits_without_failing_and_goes_on_at_once_after(
    node: Unready, begin: Callable[[Unready], object], end: Callable[[Unready], object]
) -> None:
    node.run("red")
    begin(node)
    assert 0 < node.fails() < 2
    assert len(node.report.outcomes) == 1
    node.fail_often()
    assert {outcome.result for outcome in node.report.outcomes} == {Result.WAITING}
    end(node)
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


def test_a_pod_without_networks_or_that_is_unknown_never_bothers_the_runtime(node: Bench) -> None:
    node.run()
    node.faults.runtime_down = True
    assert node.look(verify=True) is None
    assert node.look(PodKey("default", "unknown", UID)) is None
    assert (node.report.outcomes, node.operations) == ([], [])


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_finished_pod_is_cleaned_up_whatever_its_annotation_says(node: Bench, phase: str) -> None:
    node.attached("red")
    node.change(phase=phase)
    assert node.look() is None
    assert node.is_clean()


def test_a_pod_that_is_gone_is_cleaned_up_until_that_succeeds_and_then_forgotten(node: Bench) -> None:
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
    assert [outcome.pod for outcome in node.report.those(Result.DETACHED)] == [None, None]
    assert node.attempts.snapshot() == {}


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


def test_an_absent_pod_keeps_its_networks_while_its_sandbox_runs_and_the_api_server_has_it(node: Bench) -> None:
    node.attached("red")
    node.list_lacks(POD)
    assert node.fails() > 0
    (waiting,) = node.report.those(Result.WAITING)
    assert (waiting.operation, str(waiting.error)) == (Operation.CONFIRM, f"pod {POD} still exists")
    node.faults.runtime_down = True
    node.fails()
    assert node.commands() == ["ADD"], "it may still run"
    node.faults.runtime_down = False
    node.list_has(POD)
    assert (node.look(), node.done()) == (None, {"red"})


@pytest.mark.parametrize("end", [Bench.stop_sandbox, Bench.pod_is_gone])
def test_an_absent_pod_is_gone_when_its_sandbox_or_its_object_is(node: Bench, end: Callable[..., None]) -> None:
    node.attached("red")
    node.list_lacks(POD)
    end(node, POD)
    assert node.look() is None
    assert node.is_clean()


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
