"""`Host`: a machine that podagent is installed on, by its distribution's package manager."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from packages.bed.images import BOOKWORM, TRIXIE, Image
from packages.bed.machine import Machine
from packages.bed.node import KUBECONFIG, Node
from packages.bed.packages import SETTINGS, Dpkg, Manager, Packages, Rpm
from packages.bed.service import STATE, Service

TOML, CONF = SETTINGS
# What an operator would have to remove by hand to have a host as it was before.
_OURS = ("/opt/kaloom", STATE, "/run/podagent", "/var/log/cni.log", "/etc/systemd/system/podagent.service")


@dataclass(frozen=True)
class Kind:
    """A distribution with one kind of package."""

    image: Image
    manager: Callable[[Machine], Manager]

    @property
    def has_journal_fields(self) -> bool:
        return "python3-systemd" in self.image.packages


KINDS = {"deb12": Kind(BOOKWORM, Dpkg), "deb13": Kind(TRIXIE, Dpkg), "rpm12": Kind(BOOKWORM, Rpm)}


class Host:
    def __init__(self, machine: Machine, kind: Kind, packages: Packages) -> None:
        self.machine = machine
        self.kind = kind
        self.packages = packages
        self.manager = kind.manager(machine)
        self.service = Service(machine)
        self._shipped: dict[str, str] = {}

    def make_bare(self) -> None:
        """As if podagent had never been installed."""
        self.service.remove_drop_ins()
        self.machine.run("systemctl disable --now podagent", check=False)
        self.manager.purge()
        self.machine.run(f"rm -rf {' '.join(_OURS)} && systemctl daemon-reload && systemctl reset-failed")

    def make_fresh(self) -> None:
        """Installed in the version under test, configured as shipped; enabled, not running, with no state."""
        self.service.remove_drop_ins()
        self.machine.run("systemctl stop podagent", check=False)
        if self.manager.version() != self.packages.version:
            self.make_bare()
            self.manager.install(self.packages)
        if not self._shipped:
            self._shipped = {path: self.machine.read(path) for path in (TOML, CONF)}
        for path, content in self._shipped.items():
            self.machine.write(path, content)
            self.machine.run(f"rm -f {path}.*")
        self.machine.run(f"rm -rf {STATE} {KUBECONFIG} && systemctl enable podagent && systemctl reset-failed")

    def start_agent(self, node: Node) -> None:
        """With credentials; returns when it has come to the API server."""
        node.write_kubeconfig()
        self.service.restart()
        self.service.wait_for_status(" pods, ")
