"""How many records a pod and a namespace may have on a node, and how large. Pure.

Each takes memory for as long as its attachment lasts. The bounds are above what honest pods need: 64 networks in each
of 110 pods of one namespace fit.
"""

from __future__ import annotations

from typing import NamedTuple

from podagent.errors import TooManyRecords
from podagent.model import PodKey


class Used(NamedTuple):
    """`records` records, whose files have `size` bytes together."""

    records: int = 0
    size: int = 0


OF_POD = Used(256, 2 << 20)
OF_NAMESPACE = Used(8192, 16 << 20)


def require_room(key: PodKey, size: int, pod: Used, namespace: Used) -> None:
    """Raises TooManyRecords if there is no room for one more record of `size` bytes.

    Args:
        key: the pod.
        size: bytes of the new record's file.
        pod: used by the pod.
        namespace: used by all pods of its namespace.
    """
    for who, used, most in ((f"pod {key}", pod, OF_POD), (f"namespace {key.namespace}", namespace, OF_NAMESPACE)):
        if used.records >= most.records:
            raise TooManyRecords(f"{who} has {used.records} attachments on this node, its maximum: detach some")
        if used.size + size > most.size:
            raise TooManyRecords(
                f"{who} may have attachments with {most.size >> 20} MiB of configurations and results on this node, and"
                " would exceed that: detach some, or make network definitions smaller"
            )
