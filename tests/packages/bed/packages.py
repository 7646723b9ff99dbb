"""The packages under test, built by the scripts that build those that are shipped."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[3]
# What is no part of the sources; and .git, so that the time of the commit is known in a copy as well.
_LEFT_OUT = (".venv", "build", "dist", "*.egg-info", ".*_cache", ".hypothesis", "__pycache__", "tests")
_BUILD_SECONDS = 600.0

TOML, CONF = SETTINGS = ("/opt/kaloom/etc/podagent.toml", "/opt/kaloom/etc/podagent.conf")

Say = Callable[[str], None]


@dataclass(frozen=True)
class Packages:
    """Built from the same sources."""

    version: str
    deb: Path
    rpm: Path


def build(sources: Path, temporary: Path, say: Say, umask: int = -1) -> Packages:
    """Copies the checkout as it is now to `sources`, and builds both packages there, with `temporary` for the rest."""
    shutil.copytree(CHECKOUT, sources, symlinks=True, ignore=shutil.ignore_patterns(*_LEFT_OUT))
    (sources / ".venv").symlink_to(CHECKOUT / ".venv")
    found = re.search(r'^__version__ = "(.*)"$', (sources / "src/podagent/__init__.py").read_text(), re.MULTILINE)
    assert found
    since = time.monotonic()
    with ThreadPoolExecutor() as pool:
        scripts = ("scripts/build-deb.sh", "scripts/build-rpm.sh")
        list(pool.map(lambda script: run([script], sources, umask, TMPDIR=str(temporary)), scripts))
    say(f"built the packages of version {found[1]} in {time.monotonic() - since:.0f} s")
    return Packages(found[1], _only(sources / "dist", "*.deb"), _only(sources / "dist", "*.rpm"))


def rpmbuild(spec: Path, directory: Path, *options: str) -> Path:
    """The one binary package of the spec; rpmbuild works in the directory."""
    run(["rpmbuild", "-bb", "--quiet", f"--define=_topdir {directory}", *options, str(spec)], spec.parent)
    return _only(directory / "RPMS", "*/*.rpm")


def run(command: list[str], directory: Path, umask: int = -1, **environment: str) -> None:
    """Runs a program of the host there. AssertionError with the end of what it printed, if it fails."""
    ended = subprocess.run(
        command, cwd=directory, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env=os.environ | environment, timeout=_BUILD_SECONDS, check=False, umask=umask,
    )  # fmt: skip
    assert ended.returncode == 0, f"{command}:\n{ended.stdout.decode(errors='replace')[-4000:]}"


def _only(directory: Path, pattern: str) -> Path:
    found = list(directory.glob(pattern))
    assert len(found) == 1, f"{pattern} in {directory}: {found}"
    return found[0]
