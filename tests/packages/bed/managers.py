"""How each package manager is called."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from packages.bed.packages import CONF, TOML, rpmbuild


@dataclass(frozen=True)
class Manager:
    """Commands of the shell.

    Attributes:
        install: the file that follows, over whichever version is there.
        purge: with its settings, if it is there.
        version: prints that which is installed, or nothing.
        files: prints those of the package.
    """

    install: str
    remove: str
    purge: str
    version: str
    files: str


DPKG = Manager(
    # Settings that were edited are kept, as somebody who is asked answers by default.
    install="dpkg --force-confold -i",
    remove="dpkg -r podagent",
    purge="! dpkg -s podagent || dpkg -P podagent",
    version="dpkg -s podagent 2>/dev/null | grep -q 'ok installed' && dpkg-query -W -f '${Version}' podagent || true",
    files="dpkg -L podagent | grep -vxF /.",
)
RPM = Manager(
    install="rpm -Uvh --oldpackage",
    remove="rpm -e podagent",
    purge=f"! rpm -q podagent || rpm -e podagent && rm -f {TOML}.rpmsave {CONF}.rpmsave",
    version="! rpm -q podagent >/dev/null || rpm -q --qf '%{VERSION}' podagent",
    files="rpm -ql podagent",
)
BASE = """\
Provides: systemd = 252, util-linux = 2.38, coreutils = 9.1, bash = 5.2, iproute = 6.1, glibc = 2.36
Provides: /bin/sh, /bin/bash, /usr/bin/sh, /usr/bin/bash, /usr/bin/env, /usr/bin/python3, python3 = 3.11.2
"""
"""What a distribution made of RPM packages has anyway: here Debian has it, and no package of rpm's."""


def rpm_of(
    directory: Path, name: str, version: str, head: str, scripts: str = "", files: Mapping[str, tuple[int, str]] = {}
) -> Path:
    """Makes an RPM. `files`: mode and content by path."""
    root, spec = directory / "root", directory / f"{name}.spec"
    for path, (mode, content) in files.items():
        file = root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
        file.chmod(mode)
    about = f"Name: {name}\nVersion: {version}\nRelease: 1\nSummary: {name}\nLicense: None\nBuildArch: noarch\n{head}"
    copy = f"mkdir -p {root} %{{buildroot}} && cp -a {root}/. %{{buildroot}}/"
    listed = "\n".join(["%files", *files])
    spec.write_text(f"{about}\n%description\n{name}\n\n%install\n{copy}\n\n{scripts}\n{listed}\n")
    return rpmbuild(spec, directory / "rpmbuild")
