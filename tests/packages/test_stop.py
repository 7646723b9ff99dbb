"""The service is stopped, or killed, while a plugin is at work."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from lab.waiting import eventually
from packages.bed.disk import CNI_BIN, CNI_PACKAGED
from packages.bed.host import Host
from packages.bed.machine import Machine
from packages.bed.names import ifname
from packages.bed.node import Node
from packages.kinds import ONE_OF_EACH_FORMAT

pytestmark = ONE_OF_EACH_FORMAT

_GATE = "/run/lab-gate"
_SLOW = f"""\
#!/bin/sh
if [ "$CNI_COMMAND" = ADD ]; then
    mkdir -p {_GATE}
    echo "$CNI_IFNAME" >>{_GATE}/reached
    while [ ! -e {_GATE}/open ]; do sleep 0.05; done
fi
exec {CNI_PACKAGED}/bridge
"""


class Gate:
    """ADD of the bridge plugin waits at it."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        machine.write(f"{CNI_BIN}/bridge", _SLOW, mode=0o755)

    def wait_reached(self) -> None:
        eventually(lambda: self._machine.succeeds(f"test -e {_GATE}/reached"), 20, "ADD to begin")

    def open(self) -> None:
        self._machine.run(f"touch {_GATE}/open")

    def interfaces(self) -> list[str]:
        """Of each ADD, in their order."""
        return self._machine.read(f"{_GATE}/reached").split()

    def remove(self) -> None:
        self.open()
        self._machine.run(f"ln -sf {CNI_PACKAGED}/bridge {CNI_BIN}/bridge && rm -rf {_GATE}")


@pytest.fixture
def gate(installed: Host) -> Iterator[Gate]:
    made = Gate(installed.machine)
    yield made
    made.remove()


def test_a_stop_lets_the_plugin_end_and_the_next_start_has_nothing_to_do(
    installed: Host, node: Node, gate: Gate
) -> None:
    service = installed.service
    node.define("data")
    node.define("red")
    node.pod("web", ["data"])
    gate.wait_reached()
    with ThreadPoolExecutor(1) as pool:
        stopping = pool.submit(service.stop)
        eventually(lambda: service.show("ActiveState") == "deactivating", what="the service to be stopping")
        assert not stopping.done()
        gate.open()
        stopping.result(30)
    assert service.show("Result") == "success"
    attached = node.wait_for("web", "data")
    service.wait_for_attachments("data")
    service.start()
    node.annotate("web", ["data", "red"])
    assert node.wait_for("web", "data", "red").items() >= attached.items()
    node.wait_for_leases(1, "data")
    assert gate.interfaces() == [ifname("data"), ifname("red")]


def test_killed_alone_it_is_started_again_and_waits_for_the_plugin_that_it_had_started(
    installed: Host, node: Node, gate: Gate
) -> None:
    service = installed.service
    node.define("data")
    node.pod("web", ["data"])
    gate.wait_reached()
    before = service.pid
    service.signal("SIGKILL")
    service.wait_for_restart(before)
    service.wait_for_status("1 pods, 1 attachments")
    assert set(node.links("web")) == set()
    gate.open()
    attached = node.wait_for("web", "data")
    service.wait_for_attachments("data")
    assert set(attached) == {ifname("data")}
    node.wait_for_leases(1, "data")
