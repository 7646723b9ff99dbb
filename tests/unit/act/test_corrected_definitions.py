"""DEL with the definition of today, where the recorded one is at fault: only when it cannot forget anything by that."""

from __future__ import annotations

import pytest

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


@pytest.mark.parametrize(
    ("left", "today"),
    [
        (RED, None),
        (RED, FAULTY),
        (RED, NetConf(CORRECTED.json | {"name": "other"})),  # its leases are kept under another name
        (RED._replace(result={"cniVersion": "1.0.0"}), CORRECTED),
        (RED._replace(adopted=True), CORRECTED),
    ],
    ids=["gone", "unchanged", "renamed", "was attached", "was adopted"],
)
def test_otherwise_it_stays_recorded_and_the_failure_is_reported(left: Record, today: NetConf | None) -> None:
    node = Correcting(today)
    node.clean_up(left)
    (failed,) = node.report.those(Result.FAILED)
    assert "host-lokal" in str(failed.error)
    assert (node.used, list(node.disk.values())) == ([FAULTY], [left])


def test_a_corrected_definition_that_fails_too_leaves_the_record_as_it_was() -> None:
    node = Correcting()
    node.faults.delete_fails.add("red")
    node.clean_up(RED)
    assert (node.used, list(node.disk.values())) == ([FAULTY, CORRECTED], [RED])
