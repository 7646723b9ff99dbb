"""DEL with the definition of today, where the recorded one is at fault: only when it cannot forget anything by that."""

from __future__ import annotations

from podagent.act.outcomes import Result
from podagent.errors import PluginError
from podagent.foreign import Json
from podagent.model import Invocation, Phase, Record, Target
from podagent.netconf import NetConf
from unit.bench import Bench
from unit.factory import record

RED = record("red", phase=Phase.DETACHING, result=None, ifindex=0)
FAULTY = RED.invocation.netconf
CORRECTED = NetConf(FAULTY.json | {"plugins": [{"type": "bridge", "ipam": {"type": "host-local"}}]})


class Correcting(Bench):
    """A node whose plugin can do nothing with the faulty configuration. `clean_up` is a look at a pod that is gone."""

    def __init__(self, today: NetConf | None = CORRECTED) -> None:
        super().__init__()
        self.today = today
        self.used: list[NetConf] = []

    def netconf_today(self, record: Record) -> NetConf | None:
        return self.today

    def delete(self, call: Invocation, target: Target, added: Json | None) -> None:
        self.used.append(call.netconf)
        if call.netconf == FAULTY:
            raise PluginError("bridge", "no IPAM plugin host-lokal")
        super().delete(call, target, added)

    def clean_up(self, left: Record) -> None:
        self.put(left)
        self.look()


def test_a_network_that_was_never_attached_goes_with_the_corrected_definition() -> None:
    node = Correcting()
    node.clean_up(RED)
    assert (node.used, node.disk) == ([FAULTY, CORRECTED], {})


def test_without_a_corrected_definition_it_stays_recorded_and_the_failure_is_reported() -> None:
    node = Correcting(today=None)
    node.clean_up(RED)
    (failed,) = node.report.those(Result.FAILED)
    assert "host-lokal" in str(failed.error)
    assert (node.used, list(node.disk.values())) == ([FAULTY], [RED._replace(left=(0,), failures=2)])


def test_a_corrected_definition_that_fails_too_leaves_the_record() -> None:
    node = Correcting()
    node.faults.delete_fails.add("red")
    node.clean_up(RED)
    assert (node.used, list(node.disk.values())) == ([FAULTY, CORRECTED], [RED._replace(left=(0,), failures=2)])
