"""The network namespaces that agents keep alive: bind mounts, one for each sandbox with attachments."""

from __future__ import annotations

import hashlib
from pathlib import Path

from lab.files import names_in, paths_in
from lab.mounts import unmount_below

DIRECTORY = Path("/run/podagent/netns")


def pin_dir(state_dir: Path) -> Path:
    """Where the agent with this state directory has its pins."""
    return DIRECTORY / hashlib.sha256(bytes(state_dir.resolve())).hexdigest()[:16]


def pins(state_dir: Path) -> set[str]:
    """The IDs of the sandboxes whose namespaces it keeps. Each has one namespace, unless it was restarted."""
    return {name.rpartition("-")[0] for name in names_in(pin_dir(state_dir))}


def remove_pins(state_dir: Path) -> None:
    """Removes what an agent has left, which need not be wrong: attachments may live on."""
    directory = pin_dir(state_dir)
    unmount_below(directory)
    for path in paths_in(directory):
        path.unlink()
    if directory.is_dir():
        directory.rmdir()
