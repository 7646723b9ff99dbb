"""`Host`: a machine that podagent is installed on, by its distribution's package manager."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from packages.bed.images import BOOKWORM, TRIXIE, Image
from packages.bed.machine import Machine
from packages.bed.managers import BASE, DPKG, RPM, Manager, rpm_of
from packages.bed.node import KUBECONFIG, STATE, Node
from packages.bed.packages import CONF, TOML, Packages
from packages.bed.service import Service

PINS = "/run/podagent/netns"
# What an operator would have to remove by hand to have a host as it was before.
_OURS = ("/opt/kaloom", STATE, "/run/podagent", "/var/log/cni.log", "/etc/systemd/system/podagent.service")


@dataclass(frozen=True)
class Kind:
    """A distribution with one kind of package."""

    image: Image
    manager: Manager


KINDS = {"deb12": Kind(BOOKWORM, DPKG), "deb13": Kind(TRIXIE, DPKG), "rpm12": Kind(BOOKWORM, RPM)}


class Host:
    def __init__(self, machine: Machine, kind: Kind, packages: Packages) -> None:
        self.machine = machine
        self.kind = kind
        self.packages = packages
        self.service = Service(machine)
        self._shipped: dict[str, str] = {}
        if kind.manager is RPM:
            self.install_file(rpm_of(machine.directory, "base-system", "1", BASE))

    @property
    def version(self) -> str:
        """What is installed; "" when it is not."""
        return self.machine.run(self.kind.manager.version).strip().partition("-")[0]

    def install(self, packages: Packages) -> None:
        """Whichever version is installed, older or newer or none."""
        self.install_file(packages.rpm if self.kind.manager is RPM else packages.deb)
        assert self.version == packages.version

    def remove(self) -> None:
        self.machine.run(self.kind.manager.remove)

    def purge(self) -> None:
        """Removes it with its settings, if it is there."""
        self.machine.run(self.kind.manager.purge)

    def files(self) -> list[str]:
        """The files and directories of the package that is installed."""
        return self.machine.run(self.kind.manager.files).splitlines()

    def pins(self) -> list[str]:
        """The mounts by which the agent keeps network namespaces."""
        found = self.machine.run(f"grep -o ' {PINS}/[^ ]*' /proc/self/mountinfo", check=False)
        return sorted(found.split())

    def install_file(self, package: Path) -> None:
        self.machine.write("/root/package", package.read_bytes())
        self.machine.run(f"{self.kind.manager.install} /root/package")

    def make_bare(self) -> None:
        """As if podagent had never been installed."""
        self.service.remove_drop_ins()
        self.machine.run("systemctl disable --now podagent", check=False)
        self.purge()
        self.machine.run(f"rm -rf {' '.join(_OURS)} && systemctl daemon-reload && systemctl reset-failed")

    def make_fresh(self) -> None:
        """Installed in the version under test, configured as shipped; enabled, not running, with no state."""
        self.service.remove_drop_ins()
        self.machine.run("systemctl stop podagent", check=False)
        if self.version != self.packages.version:
            self.make_bare()
            self.install(self.packages)
        if not self._shipped:
            self._shipped = {path: self.machine.read(path) for path in (TOML, CONF)}
        for path, content in self._shipped.items():
            self.machine.write(path, content)
        beside = f"{TOML}.* {CONF}.*"
        self.machine.run(f"rm -rf {STATE} {KUBECONFIG} {beside} && systemctl enable podagent && systemctl reset-failed")

    def start_agent(self, node: Node) -> None:
        """With credentials; returns when it has come to the API server."""
        node.write_kubeconfig()
        self.service.systemctl("restart")
        self.service.wait_for_status(" pods, ")
