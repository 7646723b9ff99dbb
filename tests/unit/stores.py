"""A record store for tests, opened as the agent opens its own."""

from __future__ import annotations

from pathlib import Path

from podagent.state.directory import StateDirectory
from podagent.state.store import Store


def store_in(directory: Path) -> Store:
    """Its second lock is beside the directory. Raises StoreError."""
    store = Store(StateDirectory(directory, directory.parent / "locks"))
    store.load()
    return store
