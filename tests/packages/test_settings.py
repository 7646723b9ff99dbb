"""Settings that cannot be understood."""

from __future__ import annotations

from lab.links import Links
from lab.waiting import eventually
from packages.bed.host import Host
from packages.bed.node import Node
from packages.bed.packages import CONF, TOML
from packages.on import RPM_12

pytestmark = RPM_12


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
