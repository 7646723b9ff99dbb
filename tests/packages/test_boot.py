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


@pytest.mark.promise(
    "Reboot and upgrade: the node reboots, or loses power",
    "pods get their networks again; no address of a pod that is gone leaks",
)
@pytest.mark.parametrize(
    ("booted", "goes_down"), [("deb12", Machine.reboot), ("deb13", power_cut)], indirect=["booted"]
)
def test_after_a_boot_pods_have_their_networks_again_and_nothing_else_is_leased(
    installed: Host, node: Node, goes_down: Callable[[Machine], None]
) -> None:
    service, machine = installed.service, installed.machine
    node.define("data", "red")
    for pod, networks in {"web": ["data"], "db": ["data", "red"], "gone": ["data"]}.items():
        node.pod(pod, networks)
    node.settles(web=["data"], db=["data", "red"], gone=["data"])
    sandboxes = {node.sandbox(pod) for pod in ("web", "db")}
    kept = node.kept()
    booted = machine.read("/proc/sys/kernel/random/boot_id")

    goes_down(machine)
    assert machine.read("/proc/sys/kernel/random/boot_id") != booted
    service.wait_ready()
    service.wait_for_status("Waiting for the list of pods from ")
    assert installed.pins() == []
    node.bring_back(kept, "web", "db")
    node.settles(web=["data"], db=["data", "red"], timeout=60)
    assert sandboxes.isdisjoint(node.sandbox(pod) for pod in ("web", "db"))
    assert service.show("NRestarts") == "0"
