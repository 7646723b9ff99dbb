"""Settings that cannot be understood, and one that has everything compared all the time."""

from __future__ import annotations

import time

from functional.expectations import ifname
from lab.links import Links
from lab.waiting import eventually
from packages.bed.host import Host
from packages.bed.node import Node
from packages.bed.packages import CONF, TOML
from packages.on import RPM_12

pytestmark = RPM_12

_QUIET_SECONDS = 12.0


def test_with_a_mistake_in_its_settings_the_service_is_tried_until_they_are_corrected(
    installed: Host, node: Node, attached: Links
) -> None:
    service, machine = installed.service, installed.machine
    # More often in ten seconds than systemd lets a service fail by default.
    service.drop_in("[Service]\nRestartSec=200ms\n")
    for path, mistake, reported in (
        (TOML, '\ncolour = "green"\n', "colour"),
        (CONF, '\nexport WORKERS="4\n', "has an error"),
    ):
        shipped, since = machine.read(path), machine.now()
        machine.append(path, mistake)
        service.systemctl("reset-failed")
        service.systemctl("restart", check=False)
        eventually(lambda: int(service.show("NRestarts")) > 6, 60, "seven failed starts")
        assert service.lines(reported, path, since=since)
        machine.write(path, shipped)
        service.wait_ready()
    node.annotate("web", ["data", "red"])
    assert node.settles(web=["data", "red"])["web"].items() >= attached.items()


def test_nothing_is_logged_while_nothing_happens(installed: Host, node: Node, attached: Links) -> None:
    service, machine = installed.service, installed.machine
    machine.append(TOML, '\nresync-period = "1s"\n')
    service.systemctl("restart")
    node.pod("db")
    service.wait_for_status("2 pods, 1 attachments, ")
    before, until = machine.now(), time.monotonic() + _QUIET_SECONDS
    eventually(lambda: time.monotonic() > until, _QUIET_SECONDS + 5, "ten times to compare everything to pass")
    assert service.lines(since=before) == []
    assert node.links("web") == attached
    # It did compare all the time: what is changed behind its back is repaired.
    machine.run(f"nsenter --net={node.sandbox('web')[1]} ip link del {ifname('data')}")
    node.settles(web=["data"], db=[], timeout=15)
    service.wait_for_line("vanished from the pod", since=before)
