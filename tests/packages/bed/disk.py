"""What a machine's disk has besides its distribution: that of a node of a cluster, but without a cluster."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

from lab.runc import write_without_limits

CNI_BIN = "/opt/cni/bin"
# Where Debian installs them.
CNI_PACKAGED = "/usr/lib/cni"
# What is of the host's kernel, and not the machine's to set up; terminals, which it does not have; and housekeeping.
_MASKED = (
    "systemd-sysctl.service", "systemd-modules-load.service", "modprobe@.service", "systemd-udevd.service",
    "systemd-udev-trigger.service", "systemd-udevd-kernel.socket", "systemd-udevd-control.socket",
    "sys-kernel-debug.mount", "sys-kernel-tracing.mount", "dev-hugepages.mount", "getty.target", "apt-daily.timer",
    "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "e2scrub_reap.service", "fstrim.timer",
)  # fmt: skip
_CRI_DOCKERD = "/run/cri-dockerd.sock"
_RUNC = "/usr/local/sbin/runc-without-limits"
# It has no network but those that plugins make, and its containers need no layers.
_DOCKER = {
    "storage-driver": "vfs", "bridge": "none", "iptables": False, "ip-forward": False, "log-driver": "none",
    "exec-opts": ["native.cgroupdriver=cgroupfs"], "shutdown-timeout": 1, "default-runtime": "lab",
    "runtimes": {"lab": {"path": _RUNC}},
}  # fmt: skip


def lay_out(root: Path, hostname: str) -> None:
    """Writes it below the directory."""
    units = root / "etc/systemd/system"
    units.mkdir(parents=True)
    for masked in _MASKED:
        (units / masked).symlink_to("/dev/null")
    _write(root / "etc/hostname", f"{hostname}\n")
    _write(root / "etc/hosts", f"127.0.0.1 localhost {hostname}\n")
    _write(root / "etc/machine-id", f"{uuid.uuid4().hex}\n")
    _write(root / "etc/docker/daemon.json", json.dumps(_DOCKER))
    # As the kubelet of a node with Docker: the containerd of Debian's Docker serves CRI too.
    _write(root / "var/lib/kubelet/config.yaml", f"containerRuntimeEndpoint: unix://{_CRI_DOCKERD}\n")
    _write(root / "etc/tmpfiles.d/cri-dockerd.conf", f"f {_CRI_DOCKERD}\n")
    runc = root / _RUNC.lstrip("/")
    runc.parent.mkdir(parents=True)
    write_without_limits(runc, "/usr/bin/python3", "/usr/sbin/runc")
    plugins = root / CNI_BIN.lstrip("/")
    plugins.parent.mkdir(parents=True)
    plugins.symlink_to(CNI_PACKAGED)


def _write(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
