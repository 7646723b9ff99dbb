"""Reads the file in which kactus, ours or Kaloom's, saves the delegates of one container. For kactus and the agent.

It is a JSON list of configurations of plugins or chains, each with ``networkName`` or ``masterPlugin``. A chain has a
``type`` as well, except in files of version 0.3.0.
"""

from __future__ import annotations

import errno
import json
import os

from podagent.foreign import Json

DIRECTORY = "/var/lib/cni/kactus"
ADDING = "kactusAdding"
"""Marks a delegate whose ADD has not succeeded yet."""
LEFT = "kactusLeft"
"""After a failed DEL: positions of the plugins that failed alone; empty if the others were not asked yet."""


def read_delegates(path: str, largest: int) -> list[Json]:
    """Reads the whole file, of at most `largest` bytes.

    Raises:
        OSError: it cannot be read, or is larger. Only FileNotFoundError means that nothing is saved.
        ValueError: it is not a list of delegates.
    """
    content = _content(path, largest)
    try:
        saved = json.loads(content)
    except RecursionError:
        raise ValueError("JSON nested too deeply") from None
    if not isinstance(saved, list) or not all(map(_is_delegate, saved)):
        raise ValueError("not a list of delegates")
    return saved


def is_whole(delegate: Json) -> bool:
    """Whether ADD of a saved delegate has succeeded, and no DEL has begun to undo it."""
    return ADDING not in delegate and LEFT not in delegate


def _content(path: str, largest: int) -> bytes:
    # Follows no symbolic link, and does not block on a pipe without a writer.
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        size = os.fstat(fd).st_size
        if size > largest:
            raise OSError(errno.EFBIG, f"it has more than {largest >> 20} MiB", path)
        return b"".join(iter(lambda: os.read(fd, size or 1), b""))
    finally:
        os.close(fd)


def _is_delegate(value: object) -> bool:
    if not isinstance(value, dict):
        return False
    chain = value.get("plugins")
    return _has_type(value) or (isinstance(chain, list) and chain != [] and all(map(_has_type, chain)))


def _has_type(value: object) -> bool:
    return isinstance(value, dict) and isinstance(value.get("type"), str) and value["type"] != ""
