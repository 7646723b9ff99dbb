"""Looking into directories that others write at the same time.

`Path.glob` and `rglob` raise FileNotFoundError when a directory goes away while they are at it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


def paths_in(directory: Path) -> list[Path]:
    """Its entries; none if it is not there."""
    try:
        return list(directory.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def names_in(directory: Path) -> list[str]:
    """Of its entries; none if it is not there."""
    return [path.name for path in paths_in(directory)]


def paths_below(directory: Path) -> Iterator[Path]:
    """Everything below it, however deep, directories too; links are not followed."""
    for parent, directories, files in os.walk(directory):  # passes over what cannot be listed
        yield from (Path(parent, name) for name in (*directories, *files))
