"""DEL with the definition of today, where the recorded one is at fault: only when it cannot forget anything by that."""

from __future__ import annotations

import pytest
from factory import attachment, key, record
from nodemodel import Node

from podagent.act.executor import Executor
from podagent.errors import ApiError, PluginError
from podagent.model import Invocation, Json, Phase, Record, Target

RED = record("red", phase=Phase.DETACHING, result=None, ifindex=0)
FAULTY = RED.invocation.netconf
MENDED = FAULTY | {"plugins": [{"type": "bridge", "ipam": {"type": "host-local"}}]}


class Mending(Node):
    """A node whose plugin can do nothing with the faulty configuration, neither ADD nor DEL."""

    def __init__(self, today: Json | Exception | None) -> None:
        super().__init__()
        self.today = today
        self.used: list[Json] = []

    def current_netconf(self, record: Record) -> Json | None:
        if isinstance(self.today, Exception):
            raise self.today
        return self.today

    def delete(self, call: Invocation, target: Target, added: Json | None) -> None:
        self.used.append(call.netconf)
        if call.netconf == FAULTY:
            raise PluginError("bridge", "no IPAM plugin host-lokal")
        super().delete(call, target, added)

    def detach(self, left: Record) -> None:
        self.put(left)
        Executor(self, self, self, self, lambda container_id, ifname: None, self.boot_id).detach(left)


def test_what_was_never_attached_goes_with_the_mended_definition() -> None:
    node = Mending(MENDED)
    node.detach(RED)
    assert (node.used, node.disk) == ([FAULTY, MENDED], {})


@pytest.mark.parametrize(
    ("left", "today"),
    [
        (RED, None),
        (RED, FAULTY),
        (RED, ApiError("away")),
        (RED, MENDED | {"name": "other"}),  # its leases are kept under another name
        (RED._replace(result={"cniVersion": "1.0.0"}), MENDED),
        (RED._replace(adopted=True), MENDED),
    ],
    ids=["gone", "unchanged", "unknown", "renamed", "was attached", "was adopted"],
)
def test_otherwise_it_stays_recorded_and_the_failure_is_told(left: Record, today: Json | Exception | None) -> None:
    node = Mending(today)
    with pytest.raises(PluginError, match="host-lokal"):
        node.detach(left)
    assert (node.used, node.disk) == ([FAULTY], {(key(), attachment("red").ifname): left})
