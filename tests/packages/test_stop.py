"""The service is stopped, or killed, while a plugin is at work."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from packages.bed.host import Host
from packages.bed.node import Node
from packages.on import DEB_13

pytestmark = DEB_13


@pytest.fixture(autouse=True)
def attaching(installed: Host, node: Node) -> None:
    """Network `data` is being attached to pod `web`, and ADD of the bridge plugin waits."""
    node.define("data", "red")
    node.hold_up("bridge")
    node.pod("web", ["data"])
    node.held_up()


def test_a_stop_lets_the_plugin_end_and_the_next_start_has_nothing_to_do(installed: Host, node: Node) -> None:
    service = installed.service
    with ThreadPoolExecutor(1) as pool:
        stopping = pool.submit(service.systemctl, "stop")
        service.wait_for("ActiveState", "deactivating")
        assert not stopping.done()
        node.let_through()
        stopping.result(30)
    assert service.show("Result") == "success"
    attached = node.settles(web=["data"])["web"]
    assert len(installed.pins()) == 1
    service.systemctl("start")
    node.annotate("web", ["data", "red"])
    assert node.settles(web=["data", "red"])["web"].items() >= attached.items()
    assert node.held_up() == 2


def test_killed_alone_it_is_started_again_and_waits_for_the_plugin_that_it_had_started(
    installed: Host, node: Node
) -> None:
    service = installed.service
    before = service.pid
    service.signal("SIGKILL")
    service.wait_for_restart(before)
    service.wait_for_status("1 pods, 1 attachments")
    assert node.links("web") == {}
    node.let_through()
    node.settles(web=["data"])
