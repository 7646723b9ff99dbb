"""The same sources make the same packages, under any directory and umask."""

from __future__ import annotations

from pathlib import Path

from packages.bed.packages import Packages, Say, build


def test_a_second_build_elsewhere_gives_the_same_bytes(packages: Packages, disk: Path, say: Say) -> None:
    again = build(disk / "another-directory" / "deeper", disk, say, umask=0o077)
    for first, second in ((packages.deb, again.deb), (packages.rpm, again.rpm)):
        assert first.name == second.name
        assert first.read_bytes() == second.read_bytes(), first.name
