"""A node that ran Kaloom's podagent gets this one."""

from __future__ import annotations

import pytest

from functional.expectations import ifname
from packages.bed import kaloom
from packages.bed.host import Host
from packages.bed.node import Node
from packages.bed.packages import CONF
from packages.on import RPM_12

pytestmark = RPM_12


@pytest.mark.promise(
    "Reboot and upgrade: Kaloom's package is replaced by this one",
    "its settings stay in force, and pods get their networks",
)
def test_its_package_is_replaced_and_its_settings_stay_in_force(host: Host, node: Node) -> None:
    host.make_bare()
    service, machine = host.service, host.machine
    kaloom.install_package(host)
    service.systemctl("enable --now")
    assert service.show("FragmentPath") == kaloom.UNIT
    conf = machine.read(CONF)
    before, since = service.pid, machine.now()
    node.define("data")
    node.pod("web", ["data"])
    node.write_kubeconfig()

    host.install(host.packages)
    assert machine.read(CONF) == conf
    assert not machine.succeeds(f"test -e {kaloom.UNIT}")
    assert service.systemctl("is-enabled").strip() == "enabled"
    assert service.show("FragmentPath").endswith("/lib/systemd/system/podagent.service")
    service.wait_for_restart(before)
    service.wait_for_line(f"podagent {host.packages.version} starts on node {machine.name}", since=since)
    assert {"_CNI_LOGGING_LEVEL=3", "_CNI_LOGGING_FILE=/var/log/cni.log"} <= set(service.environment())
    node.settles(web=["data"])
    assert machine.run("pgrep -fc '[s]leep 60' || true").strip() == "0"

    kept = node.kept()
    machine.reboot()
    service.wait_ready()
    assert service.show("FragmentPath").endswith("/lib/systemd/system/podagent.service")
    node.bring_back(kept, "web")
    node.settles(web=["data"])


def test_its_attachments_are_taken_over(installed: Host, node: Node) -> None:
    service, machine = installed.service, installed.machine
    service.systemctl("stop")
    node.define("data", "red")
    node.pod("web", ["data"])
    for network in ("data", "red"):
        kaloom.leave_state(installed, node, "web", network)
    before, since = node.links("web"), machine.now()
    assert set(before) == {ifname("data"), ifname("red")}

    service.systemctl("start")
    assert node.settles(web=["data"])["web"] == {ifname("data"): before[ifname("data")]}
    assert len(service.lines("took over", since=since)) == 2
    assert not service.lines("attached net", since=since)
    assert kaloom.state_files(installed) == []
    node.annotate("web", [])
    node.settles(web=[])
