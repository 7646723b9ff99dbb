"""From nothing installed to a network in a pod."""

from __future__ import annotations

import re

from packages.bed.host import Host
from packages.bed.machine import Machine
from packages.bed.names import ifname
from packages.bed.node import Node

DATA = ifname("data")


def test_a_new_service_waits_for_credentials_and_then_attaches_and_detaches(
    host: Host, node: Node, machine: Machine
) -> None:
    host.make_bare()
    host.manager.install(host.packages)
    before = machine.now()
    service = host.service
    service.systemctl("enable --now")
    assert service.is_ready
    assert service.status.startswith("Waiting for credentials: ")
    assert "podagent-kubeconfig.yaml" in service.wait_for_line("waiting for credentials", since=before)
    if host.kind.has_journal_fields:
        explained = machine.run("journalctl -x -u podagent --no-pager")
        assert "podagent waits for its credentials" in explained
        assert "scripts/create-kubeconfig.sh" in explained
    node.define("data")
    node.pod("web")
    node.write_kubeconfig()
    service.wait_for_status("1 pods, 0 attachments")

    node.annotate("web", ["data"])
    address = node.wait_for("web", "data")[DATA].addresses[0]
    service.wait_for_attachments("data")
    told = service.wait_for_line("attached", since=before)
    wanted = rf"attached {DATA} \(network data, {re.escape(address)}\) to pod default/web in \d+ ms"
    assert re.fullmatch(wanted, told)
    assert len(service.lines(DATA, since=before)) == 1
    if host.kind.has_journal_fields:
        (entry,) = machine.journal("POD=web", "NETWORK=data", since=before)
        assert entry["MESSAGE"] == told
        assert (entry["IFNAME"], entry["POD_NAMESPACE"], entry["RESULT"]) == (DATA, "default", "attached")
        assert float(entry["DURATION_MS"]) > 0
        assert entry["_SYSTEMD_UNIT"] == "podagent.service"
    assert any(event.startswith("NetworkAttached: ") for event in node.events("web"))

    node.annotate("web", [])
    node.wait_for("web")
    node.wait_for_leases(0, "data")
    service.wait_for_attachments()
    assert service.wait_for_line(f"detached {DATA} (network data) from pod default/web in", since=before)
