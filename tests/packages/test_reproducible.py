"""The same sources make the same packages, whoever builds them and where."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from packages.bed.packages import Packages, Say, build, copy_of_sources


def test_a_second_build_elsewhere_gives_the_same_bytes(packages: Packages, disk: Path, say: Say) -> None:
    sources = copy_of_sources(disk / "another-directory" / "deeper")
    before = os.umask(0o077)
    try:
        again = build(sources, disk, say)
    finally:
        os.umask(before)
    for first, second in ((packages.deb, again.deb), (packages.rpm, again.rpm)):
        assert first.name == second.name
        assert digest(first) == digest(second)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
