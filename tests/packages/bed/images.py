"""Root file systems of the machines: Debian as debootstrap makes it, kept as tar files in the user's cache."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from packages.bed.packages import Say, run

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "podagent-packaging" / "images"
# A machine: systemd, a Python, what the kubelet needs of a node, and what the tests look with.
_NODE = (
    "systemd", "systemd-sysv", "dbus", "python3", "iproute2", "iptables", "procps", "kmod", "docker.io", "runc",
    "containernetworking-plugins", "busybox-static",
)  # fmt: skip
# What packages of a distribution bring and no test looks at.
_UNUSED = ("dev", "var/cache/apt", "var/lib/apt/lists", "usr/share/locale", "usr/share/doc", "usr/share/info")
# Another way of making them needs another number here: the names of the files are made of it.
_WAY = 1


@dataclass(frozen=True)
class Image:
    """One distribution. `packages` come on top of those of every machine."""

    name: str
    suite: str
    packages: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        recipe = f"{_WAY} {sorted(asdict(self).items())} {_NODE} {_UNUSED}"
        return CACHE / f"{self.name}-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}.tar"

    def unpacked(self, directory: Path, say: Say) -> Path:
        """Its root file system, below the directory."""
        if not self.path.exists():
            say(f"making the image {self.name} (once; some minutes)")
            self._make()
        root = directory / self.name
        root.mkdir()
        run(["tar", "--numeric-owner", "-xpf", str(self.path)], root)
        return root

    def _make(self) -> None:
        """The only thing here that needs a network."""
        if shutil.which("debootstrap") is None:
            raise RuntimeError("debootstrap is not installed: install the package debootstrap")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="podagent-image-", dir=self.path.parent) as directory:
            root, part = Path(directory) / "root", Path(directory) / "tar"
            packages = f"--include={','.join((*_NODE, *self.packages))}"
            run(["debootstrap", "--variant=minbase", packages, self.suite, str(root), mirror()], Path(directory))
            for unused in _UNUSED:
                for entry in (root / unused).iterdir():
                    shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
            run(["tar", "--numeric-owner", "-cf", str(part), "."], root)
            part.rename(self.path)


# Both ways of logging are met: python3-systemd is in one of them only.
BOOKWORM = Image("debian-12", "bookworm", ("python3-systemd", "rpm"))
TRIXIE = Image("debian-13", "trixie")


def mirror() -> str:
    """Where this machine's own packages come from."""
    asked = ["apt-get", "indextargets", "--format", "$(REPO_URI)"]
    found = subprocess.run(asked, check=False, capture_output=True, text=True, timeout=60).stdout.split()
    if not found:
        raise RuntimeError("apt-get has no archive to make images from: run apt-get update on a Debian")
    return found[0]
