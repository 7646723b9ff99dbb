"""From nothing installed to a network in a pod, and back."""

from __future__ import annotations

import re

from functional.expectations import ifname
from lab.links import Links
from packages.bed.host import PINS, Host
from packages.bed.node import STATE, Node
from packages.bed.packages import CONF, TOML
from packages.on import DEB_12

DATA = ifname("data")


def test_a_new_service_waits_for_credentials_and_then_attaches_and_detaches(host: Host, node: Node) -> None:
    machine, service = host.machine, host.service
    has_journal_fields = "python3-systemd" in host.kind.image.packages
    host.make_bare()
    host.install(host.packages)
    before = machine.now()
    service.systemctl("enable --now")
    service.wait_ready()
    assert service.show("StatusText").startswith("Waiting for credentials: ")
    assert "podagent-kubeconfig.yaml" in service.wait_for_line("waiting for credentials", since=before)
    if has_journal_fields:
        explained = machine.run("journalctl -x -u podagent --no-pager")
        assert "podagent waits for its credentials" in explained
        assert "scripts/create-kubeconfig.sh" in explained
    node.define("data")
    node.pod("web")
    node.write_kubeconfig()
    service.wait_for_status("1 pods, 0 attachments")

    node.annotate("web", ["data"])
    address = node.settles(web=["data"])["web"][DATA].addresses[0]
    line = service.wait_for_line("attached", since=before)
    wanted = rf"attached {DATA} \(network data, {re.escape(address)}\) to pod default/web in \d+ ms"
    assert re.fullmatch(wanted, line)
    assert len(service.lines(DATA, since=before)) == 1
    if has_journal_fields:
        (entry,) = machine.journal("POD=web", "NETWORK=data", since=before)
        assert entry["MESSAGE"] == line
        assert (entry["IFNAME"], entry["POD_NAMESPACE"], entry["RESULT"]) == (DATA, "default", "attached")
        assert float(entry["DURATION_MS"]) > 0
        assert entry["_SYSTEMD_UNIT"] == "podagent.service"
    assert "NetworkAttached" in node.events("web")

    node.annotate("web", [])
    node.settles(web=[])
    assert service.wait_for_line(f"detached {DATA} (network data) from pod default/web in", since=before)


@DEB_12
def test_a_purge_takes_configuration_and_state_and_leaves_interfaces(
    installed: Host, node: Node, attached: Links
) -> None:
    machine = installed.machine
    machine.append(TOML, '\nlog-level = "debug"\n')
    installed.purge()
    for path in (TOML, CONF, STATE, PINS):
        assert not machine.succeeds(f"test -e {path}"), path
    assert machine.run("find /etc/systemd/system /var/lib/systemd -name '*podagent*'") == ""
    assert (node.links("web"), installed.pins()) == (attached, [])

    # Installed again, it takes over what is there.
    installed.install(installed.packages)
    installed.service.systemctl("enable")
    installed.start_agent(node)
    assert node.settles(web=["data"])["web"] == attached
