"""Root file systems of the machines: Debian as debootstrap makes it, kept as tar files in the user's cache."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

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

Say = Callable[[str], None]


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

    def made(self, say: Say) -> Path:
        """The tar file, made first if it is not there: some minutes, and the only thing here that needs a network."""
        if not self.path.exists():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._make(say)
        return self.path

    def _make(self, say: Say) -> None:
        needed = "debootstrap"
        if shutil.which(needed) is None:
            raise RuntimeError(f"{needed} is not installed: install the package {needed}")
        say(f"making the image {self.name} (once; some minutes)")
        since = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="podagent-image-", dir=self.path.parent) as directory:
            root, part = Path(directory) / "root", Path(directory) / "tar"
            log = self.path.with_suffix(".log")
            packages = f"--include={','.join((*_NODE, *self.packages))}"
            _run(["debootstrap", "--variant=minbase", packages, self.suite, str(root), mirror()], log)
            for unused in _UNUSED:
                for entry in (root / unused).iterdir():
                    shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
            _run(["tar", "--numeric-owner", "-C", str(root), "-cf", str(part), "."], log)
            part.rename(self.path)
            log.unlink()
        say(f"made the image {self.name} in {time.monotonic() - since:.0f} s: {self.path}")


# Both ways of logging are met: python3-systemd is in one of them only.
BOOKWORM = Image("debian-12", "bookworm", ("python3-systemd", "rpm"))
TRIXIE = Image("debian-13", "trixie")


def mirror() -> str:
    """Where this machine's own packages come from."""
    asked = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI)"], check=False, capture_output=True, text=True, timeout=60
    )
    if not asked.stdout.split():
        raise RuntimeError("apt-get knows no archive to make images from: run apt-get update on a Debian")
    return asked.stdout.split()[0]


def _run(command: list[str], log: Path) -> None:
    with log.open("wb") as output:
        ended = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=False)
    if ended.returncode:
        raise RuntimeError(f"{command[0]} failed, its log ends with:\n{log.read_text(errors='replace')[-3000:]}")
