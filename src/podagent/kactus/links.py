"""Reads the links in the pod's network namespace; rejects unusable namespaces as the specification requires."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping

from podagent.errors import PodagentError
from podagent.kactus.failure import INVALID_NETNS, TRY_AGAIN_LATER, Failure
from podagent.model import Link

PINS = "/run/podagent/netns"
"""See `host.pins`, which this module does not import: it is slow to load."""
Look = Callable[[str], Collection[str]]
"""Returns the link names of the namespace at a path. Raises Failure (code 8)."""


def is_there(netns: str) -> bool:
    """Whether there is a file at the path. Raises Failure (code 11) if it cannot be told: then nothing is gone."""
    try:
        os.stat(netns)  # noqa: PTH116 - not pathlib, for kactus
    except OSError as fault:
        unusable = _unusable(netns, fault)
        if unusable.code == INVALID_NETNS:
            return False
        raise unusable from None
    return True


def pinned(container_id: str) -> str:
    """The namespace of a container that an agent of this node has pinned, "" if there is none."""
    from glob import escape, glob  # noqa: PLC0415 - seldom needed

    found = glob(f"{escape(PINS)}/*/{escape(container_id)}-*")  # noqa: PTH207 - not pathlib, for kactus
    nsfs = os.stat("/proc/self/ns/net").st_dev  # noqa: PTH116
    mounted = [path for path in found if _device_of(path) == nsfs]
    # A restarted sandbox has several. Which of them is meant, only the agent can tell.
    return mounted[0] if len(mounted) == 1 else ""


def _device_of(path: str) -> int:
    try:
        return os.stat(path).st_dev  # noqa: PTH116
    except OSError:
        return -1  # the agent has let it go meanwhile


def require_foreign(netns: str) -> None:
    """Rejects a namespace that does not exist or is our own, like CNI's reference library.

    Raises Failure (code 8; 11 if it cannot be told now).
    """
    try:
        own = os.path.samestat(os.stat("/proc/self/ns/net"), os.stat(netns))  # noqa: PTH116
    except OSError as fault:
        raise _unusable(netns, fault) from None
    if own:
        raise Failure(INVALID_NETNS, f"plugin's netns and netns from CNI_NETNS should not be the same: {netns}")


def _unusable(netns: str, fault: OSError) -> Failure:
    from podagent.host.links import GONE  # noqa: PLC0415 - seldom needed

    if fault.errno in GONE:
        return Failure(INVALID_NETNS, f"network namespace {netns} cannot be used: {fault.strerror}")
    return Failure(TRY_AGAIN_LATER, f"network namespace {netns} cannot be used now: {fault.strerror}")


def link_names(netns: str) -> Collection[str]:
    """See `Look`."""
    from podagent.host import links  # noqa: PLC0415 - DEL reads no links

    process = links.process_of(netns)
    try:
        return links.link_names(process) if process else links_by_entering(netns)
    except (OSError, PodagentError) as fault:
        raise Failure(INVALID_NETNS, f"cannot look into network namespace {netns}: {fault}") from None


def links_by_entering(netns: str) -> Mapping[str, Link]:
    """All links by name. Raises OSError, PodagentError."""
    from podagent.host.netns import HeldNetns, identify  # noqa: PLC0415 - slow to load, and rarely needed

    fd = os.open(netns, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return HeldNetns(identify(netns), fd).links()
    finally:
        os.close(fd)
