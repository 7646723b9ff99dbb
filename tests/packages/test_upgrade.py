"""Another version is installed over the one that runs; and it is removed."""

from __future__ import annotations

from collections.abc import Callable

from lab.links import Links
from packages.bed.host import CONF, TOML, Host
from packages.bed.names import ifname
from packages.bed.node import Node
from packages.bed.packages import Packages, Rpm
from packages.bed.repacking import NEWER
from packages.bed.service import Service
from packages.kinds import ONE_OF_EACH_FORMAT

_EDITS = {TOML: '\nattach-via = "delegate"\n', CONF: '\nexport _CNI_LOGGING_FILE="/var/log/cni.log"\n'}


def edit(host: Host) -> dict[str, str]:
    """Edits both files as an operator does; returns what is in them."""
    edited = {path: host.machine.read(path) + lines for path, lines in _EDITS.items()}
    for path, content in edited.items():
        host.machine.write(path, content)
    return edited


def assert_in_force(host: Host, edited: dict[str, str], since: int) -> None:
    assert {path: host.machine.read(path) for path in edited} == edited
    environment = host.machine.read(f"/proc/{host.service.pid}/environ").split("\0")
    assert "_CNI_LOGGING_FILE=/var/log/cni.log" in environment
    assert host.service.lines("starts on node", "attach-via delegate", since=since)


def replace(host: Host, change: Callable[[Packages], str], packages: Packages) -> int:
    """Installs it over the version that runs, and waits until that has looked at every pod; returns when it began."""
    service, before, since = host.service, host.service.pid, host.machine.now()
    change(packages)
    assert host.manager.version() == packages.version
    service.wait_for_restart(before)
    service.wait_for_line(f"podagent {packages.version} starts", since=since)
    service.wait_for_status(" 0 pods in progress")
    return since


def test_versions_replace_each_other_and_leave_edits_and_interfaces_as_they_are(
    installed: Host, node: Node, attached: Links, newer_packages: Packages
) -> None:
    service, machine = installed.service, installed.machine
    edited = edit(installed)
    service.restart()

    for change, packages, networks in (
        (installed.manager.upgrade, newer_packages, ["data", "red"]),
        (installed.manager.downgrade, installed.packages, ["data"]),
    ):
        since = replace(installed, change, packages)
        assert service.systemctl("is-enabled").strip() == "enabled"
        assert_in_force(installed, edited, since)
        node.annotate("web", networks)
        links = node.wait_for("web", *networks)
        assert links.items() >= attached.items()
        service.wait_for_attachments(*networks)
        if packages is newer_packages:
            beside = "rpmnew" if isinstance(installed.manager, Rpm) else "dpkg-dist"
            assert all(NEWER in machine.read(f"{path}.{beside}") for path in edited)


def changed(service: Service, since: int) -> set[tuple[str, str]]:
    """What the agent says that it has done, and to which interface."""
    lines = [line.split() for line in service.lines("(network ", since=since)]
    return {(words[0], words[1]) for words in lines}


@ONE_OF_EACH_FORMAT
def test_from_the_released_version_and_back_to_it_no_interface_changes(
    released: Host, node: Node, newer_packages: Packages, released_packages: Packages
) -> None:
    service, manager = released.service, released.manager
    data = {"name": "data", "ifMac": "02:00:00:00:0A:01"}
    node.define("data")
    node.define("red")
    node.pod("web", [data])
    attached = node.wait_for("web", "data")
    assert attached[ifname("data")].mac == "02:00:00:00:0a:01"
    service.wait_for_attachments("data")
    recorded = service.records()

    since = replace(released, manager.upgrade, newer_packages)
    assert node.wait_for("web", "data") == attached
    assert changed(service, since) == set()
    assert service.records() == recorded
    node.annotate("web", [data, {"name": "red", "ifMac": "02:00:00:00:0a:02"}])
    both = node.wait_for("web", "data", "red")
    assert both.items() > attached.items()
    service.wait_for_attachments("data", "red")
    assert changed(service, since) == {("attached", ifname("red"))}

    since = replace(released, manager.downgrade, released_packages)
    assert node.wait_for("web", "data", "red") == both
    service.wait_for_attachments("data", "red")
    assert changed(service, since) == set()

    since = replace(released, manager.upgrade, newer_packages)
    node.annotate("web", [{"name": "red", "ifMac": "02:00:00:00:0a:02"}])
    assert node.wait_for("web", "red").items() < both.items()
    node.wait_for_leases(0, "data")
    service.wait_for_attachments("red")
    assert changed(service, since) == {("detached", ifname("data"))}

    replace(released, manager.downgrade, released_packages)
    assert node.wait_for("web", "red").items() < both.items()


def test_removal_takes_the_service_and_leaves_interfaces_edits_and_state(
    installed: Host, node: Node, attached: Links
) -> None:
    service, machine, manager = installed.service, installed.machine, installed.manager
    edited = edit(installed)
    assert machine.run("find /opt/kaloom/lib/podagent -name '*.pyc' | head -1")

    manager.remove()
    assert service.show("LoadState") == "not-found"
    assert not machine.succeeds("systemctl is-active podagent")
    assert not machine.succeeds("pgrep -f '[s]tart_podagent.py'")
    assert node.wait_for("web", "data") == attached
    assert service.attachments() == [("data", "ATTACHED")]
    left = machine.run("find /opt/kaloom -type f -o -type l").split()
    if isinstance(manager, Rpm):
        edited = {f"{path}.rpmsave": content for path, content in edited.items()}
    assert sorted(left) == sorted([*edited, "/opt/kaloom/etc/podagent-kubeconfig.yaml"])
    assert {path: machine.read(path) for path in edited} == edited

    manager.install(installed.packages)
    installed.start_agent(node)
    service.wait_for_attachments("data")
    assert node.wait_for("web", "data") == attached
