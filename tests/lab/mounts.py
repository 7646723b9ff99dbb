"""Mounts below a directory, such as a container runtime leaves when it is killed."""

from __future__ import annotations

import subprocess
from pathlib import Path


def mounts_below(directory: Path) -> list[str]:
    """Mount points below a directory, outer ones first."""
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return [point for point in points if point.startswith(f"{directory}/")]


def unmount_below(directory: Path) -> None:
    for mount in reversed(mounts_below(directory)):
        subprocess.run(["umount", "-l", mount], check=False, capture_output=True, timeout=30)
