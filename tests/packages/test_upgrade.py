"""Another version is installed over the one that runs; and it is removed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from functional.expectations import ifname
from lab.links import Links
from lab.waiting import eventually
from packages.bed.host import Host
from packages.bed.managers import RPM
from packages.bed.node import Node
from packages.bed.packages import CONF, TOML, Packages
from packages.bed.repacking import NEWER
from packages.on import ONE_OF_EACH_FORMAT

pytestmark = ONE_OF_EACH_FORMAT

_EDITS = {
    TOML: '\nattach-via = "delegate"\ncontainer-type = "docker"\n',
    CONF: '\nexport _CNI_LOGGING_FILE="/var/log/cni.log"\n',
}


@pytest.fixture
def edited(installed: Host, attached: Links) -> dict[str, str]:
    """What is in both files of settings, after an operator has edited them."""
    edited = {path: installed.machine.append(path, lines) for path, lines in _EDITS.items()}
    installed.service.systemctl("restart")
    return edited


def replace(host: Host, packages: Packages) -> int:
    """Installs it over the version that runs, and waits until that has looked at every pod; returns when it began."""
    service, before, since = host.service, host.service.pid, host.machine.now()
    host.install(packages)
    service.wait_for_restart(before)
    service.wait_for_line(f"podagent {packages.version} starts", since=since)
    service.wait_for_status(" 0 pods in ")  # "work" of 0.3.0, "progress" since
    return since


def test_versions_replace_each_other_and_leave_edits_and_interfaces_as_they_are(
    installed: Host, node: Node, attached: Links, edited: dict[str, str], newer_packages: Packages
) -> None:
    service, machine, pins = installed.service, installed.machine, installed.pins()
    assert len(pins) == 1
    for packages, networks in (newer_packages, ["data", "red"]), (installed.packages, ["data"]):
        since = replace(installed, packages)
        assert service.systemctl("is-enabled").strip() == "enabled"
        assert {path: machine.read(path) for path in edited} == edited
        assert installed.pins() == pins
        assert "_CNI_LOGGING_FILE=/var/log/cni.log" in service.environment()
        assert service.lines("starts on node", "attach-via delegate", since=since)
        assert service.lines("container runtime: Docker at", "(docker-endpoint)", since=since)
        node.annotate("web", networks)
        assert node.settles(web=networks)["web"].items() >= attached.items()
        if packages is newer_packages:
            beside = "rpmnew" if installed.kind.manager is RPM else "dpkg-dist"
            assert all(NEWER in machine.read(f"{path}.{beside}") for path in edited)


def test_removal_takes_the_service_and_leaves_interfaces_edits_and_state(
    installed: Host, node: Node, attached: Links, edited: dict[str, str]
) -> None:
    service, machine = installed.service, installed.machine
    assert machine.run("find /opt/kaloom/lib/podagent -name '*.pyc' | head -1")
    installed.remove()
    assert service.show("LoadState") == "not-found"
    assert not machine.succeeds("systemctl is-active podagent")
    assert not machine.succeeds("pgrep -f '[s]tart_podagent.py'")
    assert node.settles(web=["data"])["web"] == attached
    assert installed.pins() == []
    left = machine.run("find /opt/kaloom -type f -o -type l").split()
    if installed.kind.manager is RPM:
        edited = {f"{path}.rpmsave": content for path, content in edited.items()}
    assert sorted(left) == sorted([*edited, "/opt/kaloom/etc/podagent-kubeconfig.yaml"])
    assert {path: machine.read(path) for path in edited} == edited

    installed.install(installed.packages)
    installed.start_agent(node)
    assert node.settles(web=["data"])["web"] == attached
    eventually(installed.pins, what="the network namespace to be kept again")


@pytest.fixture
def released(host: Host, node: Node, released_packages: Packages) -> Iterator[Host]:
    """The version that was released before is at work; when the test is over nothing is installed."""
    host.make_bare()
    host.install(released_packages)
    host.service.systemctl("enable")
    host.start_agent(node)
    yield host
    node.delete_pods()
    node.settles()
    host.make_bare()


@pytest.mark.promise(
    "Reboot and upgrade: podagent is upgraded, and downgraded again",
    "no interface changes, and both versions detach what the other attached",
)
def test_from_the_released_version_and_back_to_it_no_interface_changes(
    released: Host, node: Node, newer_packages: Packages, released_packages: Packages
) -> None:
    service = released.service

    def changed(since: int) -> set[tuple[str, ...]]:
        """What the agent has logged as done, and to which interface."""
        return {tuple(line.split()[:2]) for line in service.lines("(network ", since=since)}

    data, red = ({"name": name, "ifMac": f"02:00:00:00:0A:{mac}"} for name, mac in (("data", "01"), ("red", "02")))
    node.define("data", "red")
    node.pod("web", [data])
    attached = node.settles(web=["data"])["web"]
    assert attached[ifname("data")].mac == "02:00:00:00:0a:01"
    recorded = node.records()

    since = replace(released, newer_packages)
    assert node.settles(web=["data"])["web"] == attached
    assert changed(since) == set()
    assert node.records() == recorded
    eventually(released.pins, what="the namespace of what the released version attached to be kept")
    node.annotate("web", [data, red])
    both = node.settles(web=["data", "red"])["web"]
    assert both.items() > attached.items()
    assert changed(since) == {("attached", ifname("red"))}

    since = replace(released, released_packages)
    assert node.settles(web=["data", "red"])["web"] == both
    assert changed(since) == set()
    assert released.pins() == [], "this version lets none go"

    since = replace(released, newer_packages)
    node.annotate("web", [red])
    assert node.settles(web=["red"])["web"].items() < both.items()
    assert changed(since) == {("detached", ifname("data"))}

    replace(released, released_packages)
    assert node.settles(web=["red"])["web"].items() < both.items()
