"""The packages under test, built by the scripts that build those that are shipped; and how each kind is installed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from packages.bed.machine import Machine

CHECKOUT = Path(__file__).resolve().parents[3]
# What is no part of the sources; and .git, so that the time of the commit is known in a copy as well.
_LEFT_OUT = (".venv", "build", "dist", "*.egg-info", ".*_cache", ".hypothesis", "__pycache__", "tests")
_BUILD_SECONDS = 600.0

SETTINGS = ("/opt/kaloom/etc/podagent.toml", "/opt/kaloom/etc/podagent.conf")

Say = Callable[[str], None]


@dataclass(frozen=True)
class Packages:
    """Built from the same sources."""

    version: str
    deb: Path
    rpm: Path


def copy_of_sources(target: Path) -> Path:
    """The checkout as it is now, copied to the directory."""
    shutil.copytree(CHECKOUT, target, symlinks=True, ignore=shutil.ignore_patterns(*_LEFT_OUT))
    (target / ".venv").symlink_to(CHECKOUT / ".venv")
    return target


def build(sources: Path, temporary: Path, say: Say) -> Packages:
    """Builds both packages there; what is made on the way is below `temporary`."""
    version = _version(sources)
    since = time.monotonic()
    with ThreadPoolExecutor() as pool:
        scripts = ("scripts/build-deb.sh", "scripts/build-rpm.sh")
        list(pool.map(lambda script: run([script], sources, TMPDIR=str(temporary)), scripts))
    say(f"built the packages of version {version} in {time.monotonic() - since:.0f} s")
    return Packages(version, _only(sources / "dist", "*.deb"), _only(sources / "dist", "*.rpm"))


def rpmbuild(spec: Path, directory: Path, *options: str) -> Path:
    """The one binary package of the spec; rpmbuild works in the directory."""
    run(["rpmbuild", "-bb", "--quiet", f"--define=_topdir {directory}", *options, str(spec)], spec.parent)
    return _only(directory / "RPMS", "*/*.rpm")


def run(command: list[str], directory: Path, **environment: str) -> None:
    """Runs a program of the host there. AssertionError with the end of what it printed, if it fails."""
    ended = subprocess.run(
        command, cwd=directory, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env=os.environ | environment, timeout=_BUILD_SECONDS, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, f"{command}:\n{ended.stdout.decode(errors='replace')[-4000:]}"


def _version(sources: Path) -> str:
    found = re.search(r'^__version__ = "(.*)"$', (sources / "src/podagent/__init__.py").read_text(), re.MULTILINE)
    assert found
    return found[1]


def _only(directory: Path, pattern: str) -> Path:
    found = list(directory.glob(pattern))
    assert len(found) == 1, f"{pattern} in {directory}: {found}"
    return found[0]


class Manager(Protocol):
    """A package manager, on one machine. Each step returns what it printed."""

    def install(self, packages: Packages) -> str: ...

    def upgrade(self, packages: Packages) -> str: ...

    def downgrade(self, packages: Packages) -> str: ...

    def remove(self) -> str: ...

    def purge(self) -> str:
        """Removes it with its settings, if it is there."""

    def version(self) -> str:
        """What is installed; "" when it is not."""

    def files(self) -> list[str]:
        """The files and directories of the package that is installed."""


class Dpkg:
    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def install(self, packages: Packages) -> str:
        self._machine.copy(packages.deb, "/root/podagent.deb")
        # Settings that were edited are kept, as somebody who is asked answers by default.
        return self._machine.run("dpkg --force-confold -i /root/podagent.deb")

    upgrade = downgrade = install

    def remove(self) -> str:
        return self._machine.run("dpkg -r podagent")

    def purge(self) -> str:
        return self._machine.run("! dpkg -s podagent || dpkg -P podagent")

    def version(self) -> str:
        shown = self._machine.run("dpkg-query -W -f '${db:Status-Status} ${Version}' podagent 2>/dev/null", check=False)
        status, _, version = shown.partition(" ")
        return version.partition("-")[0] if status == "installed" else ""

    def files(self) -> list[str]:
        return [path for path in self._machine.run("dpkg -L podagent").splitlines() if path != "/."]


class Rpm:
    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._has_base = False

    def install(self, packages: Packages) -> str:
        self.install_base()
        return self._rpm("-ivh", packages)

    def upgrade(self, packages: Packages) -> str:
        return self._rpm("-Uvh", packages)

    def downgrade(self, packages: Packages) -> str:
        return self._rpm("-Uvh --oldpackage", packages)

    def remove(self) -> str:
        return self._machine.run("rpm -e podagent")

    def purge(self) -> str:
        kept = " ".join(f"{path}.rpmsave" for path in SETTINGS)
        return self._machine.run(f"! rpm -q podagent || rpm -e podagent && rm -f {kept}")

    def version(self) -> str:
        shown = self._machine.run("rpm -q --qf '%{VERSION}' podagent", check=False)
        return "" if "not installed" in shown else shown

    def files(self) -> list[str]:
        return self._machine.run("rpm -ql podagent").splitlines()

    def install_base(self) -> None:
        """What a distribution made of RPM packages has anyway: here Debian has it, of which rpm knows nothing."""
        if self._has_base:
            return
        python = self._machine.run(["python3", "-c", "import platform; print(platform.python_version())"]).strip()
        with tempfile.TemporaryDirectory(prefix="podagent-rpm-") as directory:
            base = rpm_of(Path(directory), "base-system", "1", f"{_BASE}Provides: python3 = {python}\n", "%files\n")
            self.install_file(base)
        self._has_base = True

    def install_file(self, package: Path, how: str = "-ivh") -> str:
        self._machine.copy(package, "/root/package.rpm")
        return self._machine.run(f"rpm {how} /root/package.rpm")

    def _rpm(self, how: str, packages: Packages) -> str:
        return self.install_file(packages.rpm, how)


_BASE = """\
Provides: systemd = 252, util-linux = 2.38, coreutils = 9.1, bash = 5.2, iproute = 6.1, glibc = 2.36
Provides: /bin/sh, /bin/bash, /usr/bin/sh, /usr/bin/bash, /usr/bin/env, /usr/bin/python3
"""


def rpm_of(
    directory: Path, name: str, version: str, head: str, body: str, files: dict[str, tuple[int, str]] | None = None
) -> Path:
    """Makes an RPM. `files`: mode and content by path, which `body` has to list."""
    root, spec = directory / "root", directory / f"{name}.spec"
    root.mkdir(parents=True, exist_ok=True)
    for path, (mode, content) in (files or {}).items():
        file = root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
        file.chmod(mode)
    about = f"Name: {name}\nVersion: {version}\nRelease: 1\nSummary: {name}\nLicense: None\nBuildArch: noarch\n{head}"
    copy = f"mkdir -p %{{buildroot}} && cp -a {root}/. %{{buildroot}}/"
    spec.write_text(f"{about}\n%description\n{name}\n\n%install\n{copy}\n\n{body}")
    return rpmbuild(spec, directory / "rpmbuild")
