"""One pod at a time brought to what it wants: waiting, failing apart, cleaning up, on the model of a node."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Collection
from typing import Any

import pytest

from podagent.act.executor import Executor
from podagent.act.outcomes import Outcome, Outcomes, Result
from podagent.act.reconciler import Reconciler
from podagent.decide.attempts import Attempts
from podagent.decide.dialects.kaloom_names import interface_name
from podagent.errors import HostNetworkRefused, PodNotReady
from podagent.model import Attachment, Invocation, Operation, Phase, Pod, PodKey, Record, Sandbox, Target, Via
from unit.factory import UID, key, pod
from unit.nodemodel import Node, SilentReport

KEY = key()
OTHER = PodKey("another", KEY.name, "other-uid")


class Bench(Node):
    """A node with an agent's reconciler on it, and a clock that stands still."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.stop = False
        self.not_ready = False
        self.bug_in: set[str] = set()
        self.after_each: Callable[[], None] = lambda: None
        self.report = SilentReport()
        self.attempts = Attempts(lambda: self.now, random.Random(1))
        executor = Executor(self, self, self, lambda container_id, ifname, timeout: None, self.boot_id)
        outcomes = Outcomes(self.attempts, [self.report])
        self.reconciler = Reconciler(
            self, self, self, self, executor, outcomes, ("default",), lambda: self.stop, lambda: self.now
        )

    def run(self, who: PodKey, *networks: Any, **changes: Any) -> None:
        """A running pod that wants these networks (names or entries)."""
        self.pods[who] = pod(annotation(*networks), key=who, **changes)
        self.start_sandbox(who)

    def want(self, *networks: Any) -> None:
        self.pods[KEY] = self.pods[KEY]._replace(networks=annotation(*networks))

    def look(self, who: PodKey = KEY, *, verify: bool = False) -> float | None:
        return self.reconciler.reconcile(who, verify=verify)

    def resolve(self, pod: Pod, attachment: Attachment, sandbox: Sandbox) -> tuple[Via, Invocation]:
        if self.not_ready and not (pod.phase == "Running" and sandbox.populated):
            raise PodNotReady(f"pod {pod.key} is still being set up")
        if attachment.network in self.bug_in:
            raise ZeroDivisionError("bug")
        return super().resolve(pod, attachment, sandbox)

    def add(self, call: Invocation, target: Target) -> Any:
        result = super().add(call, target)
        self.after_each()
        return result

    def delete(self, call: Invocation, target: Target, added: Any) -> None:
        super().delete(call, target, added)
        self.after_each()

    def attached(self) -> set[str]:
        return {each.attachment.network for each in self.of(KEY) if each.phase is Phase.ATTACHED}

    def record(self, network: str) -> Record:
        return self.disk[KEY, interface_name(network)]

    def operations_of(self, network: str) -> list[str]:
        return [command for command, _, ifname in self.operations if ifname == interface_name(network)]


def annotation(*networks: Any) -> str:
    return json.dumps([{"name": each} if isinstance(each, str) else each for each in networks])


def names(outcomes: Collection[Outcome]) -> list[str]:
    """The networks that they are about, in order."""
    return [outcome.attachment.network for outcome in outcomes if outcome.attachment]


@pytest.fixture
def node() -> Bench:
    return Bench()


# -- the normal course ----------------------------------------------------------------------------------------------


def test_attaches_what_is_wanted_and_detaches_what_is_not(node: Bench) -> None:
    node.run(KEY, "red", "green")
    assert node.look() is None
    assert node.attached() == {"red", "green"}
    node.want("green", "blue")
    assert node.look() is None
    assert node.attached() == {"green", "blue"}
    assert node.links_of(KEY) == {interface_name("green"), interface_name("blue")}
    assert names(node.report.those(Result.ATTACHED)) == ["red", "green", "blue"]
    assert names(node.report.those(Result.DETACHED)) == ["red"]


def test_looking_again_does_nothing(node: Bench) -> None:
    node.run(KEY, "red")
    node.look()
    before = list(node.operations)
    assert [node.look(verify=verify) for verify in (False, True)] == [None, None]
    assert node.operations == before


def test_attaches_lower_layers_first_and_detaches_them_last(node: Bench) -> None:
    node.run(KEY, "vlan", {"name": "bond", "upperLayers": ["vlan"]})
    node.look()
    node.want()
    node.look()
    assert names(node.report.those(Result.ATTACHED)) == ["bond", "vlan"]
    assert names(node.report.those(Result.DETACHED)) == ["vlan", "bond"]


def test_detaches_before_it_attaches(node: Bench) -> None:
    node.run(KEY, "red")
    node.look()
    node.want("green")
    node.operations.clear()
    node.look()
    assert [command for command, *_ in node.operations] == ["DEL", "ADD"]


def test_a_changed_address_is_attached_anew(node: Bench) -> None:
    node.run(KEY, "red")
    node.look()
    node.want({"name": "red", "ifMac": "02:00:00:00:00:01"})
    node.look()
    assert node.operations_of("red") == ["ADD", "DEL", "ADD"]
    assert node.record("red").attachment.mac == "02:00:00:00:00:01"


def test_a_replaced_sandbox_gets_its_networks_and_the_old_ones_lease_goes(node: Bench) -> None:
    node.run(KEY, "red")
    node.look()
    new = node.start_sandbox(KEY)
    assert node.look() is None
    assert {sandbox for _, sandbox, _ in node.leases} == {new.id}
    assert node.links_of(KEY) == {interface_name("red")}


def test_a_vanished_link_is_noticed_when_asked_to_verify_and_attached_again(node: Bench) -> None:
    node.run(KEY, "red", "green")
    node.look()
    node.links[node.running[KEY].netns.inode].pop(interface_name("red"))
    assert node.look() is None
    assert node.links_of(KEY) == {interface_name("green")}
    assert node.look(verify=True) is None
    assert node.links_of(KEY) == {interface_name("red"), interface_name("green")}
    assert names(node.report.those(Result.DRIFTED)) == ["red"]
    assert node.operations_of("green") == ["ADD"]


def test_a_sandbox_that_cannot_be_looked_into_is_taken_as_it_was_recorded(node: Bench) -> None:
    node.run(KEY, "red", "green")
    node.look()
    sandbox = node.running[KEY]

    def refused(ref: object) -> Any:
        raise HostNetworkRefused("it is the host's")

    hold, node.hold = node.hold, refused  # type: ignore[method-assign]
    assert node.look(verify=True) is None
    node.hold = hold  # type: ignore[method-assign]
    node.links.pop(sandbox.netns.inode)
    assert node.look(verify=True) is None
    assert node.attached() == {"red", "green"}


# -- the annotation -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["{not json", '{"name": "red"}', "[7]", '[{"name": "../../x"}]'])
def test_a_malformed_annotation_detaches_nothing_and_is_told(node: Bench, text: str) -> None:
    node.run(KEY, "red")
    node.look()
    node.pods[KEY] = node.pods[KEY]._replace(networks=text)
    assert node.look(verify=True) is None
    assert node.attached() == {"red"}
    assert node.operations_of("red") == ["ADD"]
    assert node.report.those(Result.INVALID)


def test_valid_siblings_of_a_faulty_entry_are_served(node: Bench) -> None:
    node.run(KEY, "red")
    node.look()
    node.want({"name": "red", "ifMac": "nonsense"}, "green")
    assert node.look() is None
    assert node.attached() == {"red", "green"}


def test_a_fault_of_the_annotation_is_told_once_and_again_when_it_comes_back(node: Bench) -> None:
    node.run(KEY, {"name": "red", "ifMac": 7})
    node.look()
    node.want("red")
    node.look()
    node.want({"name": "red", "ifMac": 7})
    node.look()
    node.look()
    assert len(node.report.those(Result.INVALID)) == 2


# -- failing apart, and trying again --------------------------------------------------------------------------------


def test_a_failing_network_delays_neither_its_siblings_nor_other_pods(node: Bench) -> None:
    node.faults.add_fails["red"] = "before"
    node.run(KEY, "red", "green")
    node.run(OTHER, "green")
    wait = node.look()
    assert wait is not None
    assert 0.8 <= wait <= 1.2
    assert node.attached() == {"green"}
    assert node.look(OTHER) is None
    (failed,) = node.report.those(Result.FAILED)
    assert (failed.operation, names([failed]), failed.retry_in) == (Operation.ATTACH, ["red"], wait)
    assert "no such bridge" in str(failed.error)


def test_a_failing_detach_delays_neither_its_siblings_nor_an_attach(node: Bench) -> None:
    node.run(KEY, "red", "green")
    node.look()
    node.faults.delete_fails.add("red")
    node.want("blue")
    assert node.look() is not None
    assert node.attached() == {"blue"}
    assert node.record("red").phase is Phase.DETACHING
    (failed,) = node.report.those(Result.FAILED)
    assert (failed.operation, names([failed])) == (Operation.DETACH, ["red"])


def test_a_failed_attach_is_not_tried_again_before_its_time(node: Bench) -> None:
    node.faults.add_fails["red"] = "before"
    node.run(KEY, "red")
    wait = node.look()
    node.now += wait / 2
    assert node.look() == pytest.approx(wait / 2)
    assert node.operations_of("red") == ["ADD", "DEL"]
    node.now += wait
    again = node.look()
    assert 1.6 <= again <= 2.4
    assert node.operations_of("red") == ["ADD", "DEL", "ADD", "DEL"]


def test_tries_for_ever_and_at_least_every_six_minutes(node: Bench) -> None:
    node.faults.add_fails["red"] = "before"
    node.run(KEY, "red")
    for _ in range(40):
        wait = node.look()
        assert 0 < wait <= 360
        node.now += wait
    assert node.operations_of("red").count("ADD") == 40
    node.faults.add_fails.clear()
    assert node.look() is None
    assert node.attached() == {"red"}


def fail_often(node: Bench, times: int = 8) -> None:
    for _ in range(times):
        node.now += node.look()
    node.now -= 0.001  # just before the next try


def test_a_changed_entry_is_tried_at_once(node: Bench) -> None:
    node.faults.add_fails["red"] = "before"
    node.run(KEY, "red")
    fail_often(node)
    node.faults.add_fails.clear()
    node.want({"name": "red", "ifMac": "02:00:00:00:00:01"})
    assert node.look() is None


def test_an_entry_taken_out_and_put_back_is_tried_at_once(node: Bench) -> None:
    node.faults.add_fails["red"] = "before"
    node.run(KEY, "red", "green")
    node.look()
    for _ in range(6):
        node.now += node.look()
    node.look()
    node.want("green")
    assert node.look() is None
    node.faults.add_fails.clear()
    node.want("red", "green")
    assert node.look() is None
    assert node.attached() == {"red", "green"}


def test_a_new_sandbox_is_tried_at_once(node: Bench) -> None:
    node.faults.add_fails["red"] = "before"
    node.run(KEY, "red")
    fail_often(node)
    node.look()
    node.faults.add_fails.clear()
    node.start_sandbox(KEY)
    assert node.look() is None


def fail_to_detach(node: Bench) -> None:
    """A network failed to be detached so often that the next try is far off; by then it would succeed."""
    node.run(KEY, "red")
    node.look()
    node.faults.delete_fails.add("red")
    node.want()
    for _ in range(6):
        node.now += node.look()
    node.look()
    node.faults.delete_fails.clear()


def test_what_could_not_be_detached_is_tried_at_once_when_it_is_wanted_again(node: Bench) -> None:
    fail_to_detach(node)
    node.want("red")
    assert node.look() is None
    assert node.attached() == {"red"}


def test_what_could_not_be_detached_is_tried_at_once_when_the_pod_is_gone(node: Bench) -> None:
    fail_to_detach(node)
    del node.pods[KEY]
    assert node.look() is None
    assert node.disk == {}


def test_an_interface_that_cannot_be_detached_is_not_attached_over(node: Bench) -> None:
    node.run(KEY, "red")
    node.look()
    node.faults.delete_fails.add("red")
    node.want({"name": "red", "ifMac": "02:00:00:00:00:01"})
    assert node.look() is not None
    assert node.operations_of("red") == ["ADD", "DEL"]


def test_a_bug_in_one_attachment_does_not_stop_its_siblings_and_is_tried_again(node: Bench) -> None:
    node.bug_in.add("red")
    node.run(KEY, "red", "green")
    assert node.look() is not None
    assert node.attached() == {"green"}
    (failed,) = node.report.those(Result.FAILED)
    assert isinstance(failed.error, ZeroDivisionError)


def test_nothing_is_remembered_of_what_nobody_wants_any_more(node: Bench) -> None:
    node.run(KEY)
    for number in range(200):
        node.faults.undefined.add(f"n{number}")
        node.want(f"n{number}")
        node.look()
    node.want()
    node.look()
    assert node.attempts.snapshot() == {}


# -- waiting --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trouble", ["no sandbox", "runtime down"])
def test_waits_for_a_sandbox_and_says_so_without_calling_it_a_failure(node: Bench, trouble: str) -> None:
    node.run(KEY, "red")
    if trouble == "no sandbox":
        node.stop_sandbox(KEY)
    node.faults.runtime_down = trouble == "runtime down"
    wait = node.look()
    assert 0 < wait < 2
    assert len(node.report.those(Result.WAITING)) == 1
    assert node.report.those(Result.FAILED) == []
    node.faults.runtime_down = False
    if trouble == "no sandbox":
        node.start_sandbox(KEY)
    assert node.look() is None
    assert node.attached() == {"red"}
    assert node.attempts.snapshot() == {}


def test_what_is_not_wanted_goes_though_the_runtime_is_down(node: Bench) -> None:
    node.run(KEY, "red", "green")
    node.look()
    node.faults.runtime_down = True
    node.want("green")
    assert node.look() is not None
    assert node.attached() == {"green"}
    node.want()
    assert node.look() is None
    assert node.disk == {}


def test_a_pod_without_networks_never_bothers_the_runtime(node: Bench) -> None:
    node.run(KEY)
    node.faults.runtime_down = True
    assert node.look(verify=True) is None
    assert node.report.those(Result.WAITING) == []


def test_the_kubelets_work_is_waited_for_and_not_called_a_failure(node: Bench) -> None:
    node.not_ready = True
    node.run(KEY, "red", phase="Pending")
    assert node.look() is not None
    assert node.report.those(Result.FAILED) == []
    assert len(node.report.those(Result.WAITING)) == 1


def test_a_pod_that_took_long_to_start_is_attached_as_soon_as_it_runs(node: Bench) -> None:
    node.not_ready = True
    node.run(KEY, "red", phase="Pending")
    for _ in range(9):
        node.now += node.look()
    node.look()
    node.pods[KEY] = node.pods[KEY]._replace(phase="Running")
    assert node.look() is None
    assert node.attached() == {"red"}


def test_a_sandbox_that_took_long_to_be_populated_is_attached_as_soon_as_it_is(node: Bench) -> None:
    node.not_ready = True
    node.run(KEY, "red")
    full = node.running[KEY]
    node.running[KEY] = full._replace(populated=False)
    for _ in range(9):
        node.now += node.look()
    node.look()
    node.running[KEY] = full
    assert node.look() is None


# -- pods that end --------------------------------------------------------------------------------------------------


def test_a_pod_that_is_gone_is_cleaned_up_and_forgotten(node: Bench) -> None:
    node.run(KEY, "red", "green")
    node.look()
    del node.pods[KEY]
    node.stop_sandbox(KEY)
    assert node.look() is None
    assert (node.disk, node.leases) == ({}, set())
    assert [outcome.pod for outcome in node.report.those(Result.DETACHED)] == [None, None]
    assert node.attempts.snapshot() == {}


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_finished_pod_is_cleaned_up_whatever_its_annotation_says(node: Bench, phase: str) -> None:
    node.run(KEY, "red")
    node.look()
    node.pods[KEY] = node.pods[KEY]._replace(phase=phase)
    assert node.look() is None
    assert (node.disk, node.leases) == ({}, set())


def test_cleaning_up_is_tried_until_it_succeeds(node: Bench) -> None:
    node.run(KEY, "red", "green")
    node.look()
    node.faults.delete_fails.add("red")
    del node.pods[KEY]
    assert node.look() is not None
    assert list(node.attempts.snapshot()) == [KEY]
    assert [network for network, *_ in node.leases] == ["red"]
    node.faults.delete_fails.clear()
    node.now += 10
    assert node.look() is None
    assert node.leases == set()


def test_a_pod_nobody_knows_is_no_work(node: Bench) -> None:
    assert node.look(PodKey("default", "unknown", UID)) is None
    assert node.operations == []


def test_a_static_pod_whose_mirror_vanished_is_left_alone_while_it_runs(node: Bench) -> None:
    node.run(KEY, "red", static=True)
    node.look()
    del node.pods[KEY]
    assert node.look() == 10
    node.faults.runtime_down = True
    assert node.look() == 10, "what is not known to have ended is not torn down"
    node.faults.runtime_down = False
    assert node.attached() == {"red"}
    node.stop_sandbox(KEY)
    assert node.look() is None
    assert (node.disk, node.leases) == ({}, set())


# -- stopping -------------------------------------------------------------------------------------------------------


def test_stops_between_two_actions_and_starts_no_other(node: Bench) -> None:
    node.run(KEY, "red", "green", "blue")
    node.after_each = lambda: setattr(node, "stop", True)
    node.look()
    assert node.attached() == {"red"}
    node.stop = False
    node.after_each = lambda: None
    assert node.look() is None
    node.want()
    node.after_each = lambda: setattr(node, "stop", True)
    node.look()
    assert len(node.disk) == 2
