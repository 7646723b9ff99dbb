"""Removal with all that Debian counts as configuration."""

from __future__ import annotations

from lab.links import Links
from packages.bed.host import CONF, TOML, Host
from packages.bed.node import Node
from packages.bed.service import STATE
from packages.kinds import DEB_12


@DEB_12
def test_a_purge_takes_configuration_and_state_and_leaves_interfaces(
    installed: Host, node: Node, attached: Links
) -> None:
    service, machine = installed.service, installed.machine
    machine.write(TOML, machine.read(TOML) + '\nlog-level = "debug"\n')

    installed.manager.purge()
    for path in (TOML, CONF, STATE):
        assert not machine.succeeds(f"test -e {path}"), path
    assert machine.run("find /etc/systemd/system /var/lib/systemd -name '*podagent*'") == ""
    assert node.wait_for("web", "data") == attached

    # Whoever installs it again has it take over what it finds.
    installed.manager.install(installed.packages)
    service.systemctl("enable")
    installed.start_agent(node)
    service.wait_for_attachments("data")
    assert node.wait_for("web", "data") == attached
