"""The machine goes down and comes up again."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from packages.bed.host import Host
from packages.bed.machine import Machine
from packages.bed.node import Node


def power_cut(machine: Machine) -> None:
    machine.cut_power()
    machine.boot()


@pytest.mark.parametrize("goes_down", [Machine.reboot, power_cut])
def test_after_a_boot_pods_have_their_networks_again_and_nothing_else_is_leased(
    installed: Host, node: Node, goes_down: Callable[[Machine], None]
) -> None:
    service, machine = installed.service, installed.machine
    node.define("data")
    node.define("red")
    for pod, networks in {"web": ["data"], "db": ["data", "red"], "gone": ["data"]}.items():
        node.pod(pod, networks)
        node.wait_for(pod, *networks)
    service.wait_for_attachments("data", "data", "data", "red")
    sandboxes = {node.about(pod)["sandbox"] for pod in ("web", "db")}
    booted = machine.read("/proc/sys/kernel/random/boot_id")

    goes_down(machine)
    assert machine.read("/proc/sys/kernel/random/boot_id") != booted
    service.wait_ready()
    service.wait_for_status("Waiting for the list of pods from ")
    node.forget("gone")
    node.start_after_boot()
    node.wait_for("web", "data", timeout=60)
    node.wait_for("db", "data", "red")
    node.wait_for_leases(2, "data")
    node.wait_for_leases(1, "red")
    service.wait_for_attachments("data", "data", "red")
    assert sandboxes.isdisjoint(node.about(pod)["sandbox"] for pod in ("web", "db"))
    assert service.show("NRestarts") == "0"
