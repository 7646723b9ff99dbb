"""Nothing is said while nothing happens."""

from __future__ import annotations

import time

from lab.links import Links
from lab.waiting import eventually
from packages.bed.host import TOML, Host
from packages.bed.names import ifname
from packages.bed.node import Node
from packages.kinds import ONE_OF_EACH_FORMAT

_QUIET_SECONDS = 12.0


@ONE_OF_EACH_FORMAT
def test_nothing_is_logged_while_nothing_happens(installed: Host, node: Node, attached: Links) -> None:
    service, machine = installed.service, installed.machine
    machine.write(TOML, machine.read(TOML) + '\nresync-period = "1s"\n')
    service.restart()
    node.pod("db")
    service.wait_for_status("2 pods, 1 attachments, ")
    before, until = machine.now(), time.monotonic() + _QUIET_SECONDS
    eventually(lambda: time.monotonic() > until, _QUIET_SECONDS + 5, "ten times to compare everything to pass")
    assert machine.journal_text("-u", "podagent", since=before) == ""
    assert node.links("web") == attached
    # It did compare all the time: what is changed behind its back is mended.
    machine.run(f"nsenter --net={node.about('web')['netns']} ip link del {ifname('data')}")
    node.wait_for("web", "data", timeout=15)
    service.wait_for_line("vanished from the pod", since=before)
