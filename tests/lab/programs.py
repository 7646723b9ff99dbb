"""Finding programs of the host, also where root's directories are not in PATH."""

from __future__ import annotations

import os
import shutil

RUNTIMES = {"docker": "dockerd", "containerd": "containerd"}
"""The programs of container runtimes, by name, in the order in which they are chosen."""


def search_path() -> str:
    return os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def find(name: str, package: str) -> str:
    """Its path. RuntimeError when it is missing; the message names the package to install."""
    found = shutil.which(name, path=search_path())
    if found is None:
        raise RuntimeError(f"{name} is not installed: install the package {package}")
    return found


def installed_runtime() -> str:
    """The first one whose program is there; the first of all if none is."""
    there = (name for name, program in RUNTIMES.items() if shutil.which(program, path=search_path()))
    return next(there, next(iter(RUNTIMES)))
