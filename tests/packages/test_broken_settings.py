"""Settings that cannot be understood."""

from __future__ import annotations

import pytest

from lab.links import Links
from lab.waiting import eventually
from packages.bed.host import CONF, TOML, Host
from packages.bed.node import Node
from packages.kinds import ONE_OF_EACH_FORMAT

pytestmark = ONE_OF_EACH_FORMAT


@pytest.mark.parametrize(
    ("path", "mistake", "told"),
    [(TOML, '\ncolour = "green"\n', ("colour", TOML)), (CONF, '\nexport WORKERS="4\n', ("mistake", CONF))],
    ids=["toml", "conf"],
)
def test_the_service_is_tried_until_they_are_mended(
    installed: Host, node: Node, attached: Links, path: str, mistake: str, told: tuple[str, ...]
) -> None:
    service, machine = installed.service, installed.machine
    shipped, since = machine.read(path), machine.now()
    machine.write(path, shipped + mistake)
    # More often in ten seconds than systemd lets a service fail by default.
    service.drop_in("often", "[Service]\nRestartSec=200ms\n")
    service.systemctl("restart", check=False)
    eventually(lambda: int(service.show("NRestarts")) > 6, 60, "seven failed starts")
    assert service.lines(*told, since=since)
    machine.write(path, shipped)
    service.wait_ready()
    node.annotate("web", ["data", "red"])
    assert node.wait_for("web", "data", "red").items() >= attached.items()
