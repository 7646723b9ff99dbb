"""A node that ran Kaloom's podagent gets this one."""

from __future__ import annotations

from packages.bed import kaloom
from packages.bed.host import Host
from packages.bed.names import ifname
from packages.bed.node import Node
from packages.bed.packages import Rpm
from packages.kinds import ONE_OF_EACH_FORMAT, RPM_12


@RPM_12
def test_its_package_is_replaced_and_its_settings_stay_in_force(host: Host, node: Node) -> None:
    host.make_bare()
    service, machine, manager = host.service, host.machine, host.manager
    assert isinstance(manager, Rpm)
    kaloom.install_package(manager)
    service.systemctl("enable --now")
    assert service.show("FragmentPath") == kaloom.UNIT
    conf = machine.read(kaloom.CONF)
    before, since = service.pid, machine.now()
    node.define("data")
    node.pod("web", ["data"])
    node.write_kubeconfig()

    manager.upgrade(host.packages)
    assert machine.read(kaloom.CONF) == conf
    assert not machine.succeeds(f"test -e {kaloom.UNIT}")
    assert service.systemctl("is-enabled").strip() == "enabled"
    assert service.show("FragmentPath").endswith("/lib/systemd/system/podagent.service")
    service.wait_for_restart(before)
    service.wait_for_line(f"podagent {host.packages.version} starts on node {machine.name}", since=since)
    environment = machine.read(f"/proc/{service.pid}/environ").split("\0")
    assert {"_CNI_LOGGING_LEVEL=3", "_CNI_LOGGING_FILE=/var/log/cni.log"} <= set(environment)
    node.wait_for("web", "data")
    assert machine.run("pgrep -fc '[s]leep 60' || true").strip() == "0"

    machine.reboot()
    service.wait_ready()
    assert service.show("FragmentPath").endswith("/lib/systemd/system/podagent.service")
    node.start_after_boot()
    node.wait_for("web", "data")


@ONE_OF_EACH_FORMAT
def test_what_it_has_attached_is_taken_over(installed: Host, node: Node) -> None:
    service, machine = installed.service, installed.machine
    service.stop()
    node.define("data")
    node.define("red")
    node.pod("web", ["data"])
    for network in ("data", "red"):
        kaloom.leave_state(machine, node, "web", network)
    before, since = node.links("web"), machine.now()
    assert set(before) == {ifname("data"), ifname("red")}

    service.start()
    links = node.wait_for("web", "data")
    assert links[ifname("data")] == before[ifname("data")]
    node.wait_for_leases(1, "data")
    node.wait_for_leases(0, "red")
    service.wait_for_attachments("data")
    assert len(service.lines("took over", since=since)) == 2
    assert not service.lines("attached net", since=since)
    assert kaloom.state_files(machine) == []
    node.annotate("web", [])
    node.wait_for("web")
    node.wait_for_leases(0, "data", "red")
