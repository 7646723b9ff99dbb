"""What a pod wants, from all of its annotations together. Pure; to add a dialect, add it to `DIALECTS`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import reduce

from podagent.decide.desired import Desired, Dialect
from podagent.decide.dialects import kaloom
from podagent.model import Pod

DIALECTS: tuple[Dialect, ...] = (kaloom.DIALECT,)
ANNOTATIONS = frozenset(dialect.annotation for dialect in DIALECTS)
"""The keys of a pod's annotations that are of interest."""


def wanted_by(pod: Pod, global_namespaces: Collection[str], dialects: Sequence[Dialect] = DIALECTS) -> Desired:
    """What the pod's annotations ask for; earlier dialects first.

    Args:
        pod: with its annotations.
        global_namespaces: namespaces whose definitions the pods of every namespace may use.
        dialects: those that are understood.
    """
    readings = [
        dialect.read(pod.annotations[dialect.annotation], pod.key.namespace, global_namespaces)
        for dialect in dialects
        if dialect.annotation in pod.annotations
    ]
    return reduce(_both, readings) if readings else Desired()


def _both(first: Desired, second: Desired) -> Desired:
    """Two annotations of one pod. An interface that both name is the first one's."""
    taken = first.held.union(attachment.ifname for attachment in first.attachments)
    clashes = [attachment for attachment in second.attachments if attachment.ifname in taken]
    return Desired(
        attachments=first.attachments + tuple(each for each in second.attachments if each.ifname not in taken),
        held=first.held | second.held,
        hold_all=first.hold_all or second.hold_all,
        problems=(
            *first.problems,
            *second.problems,
            *(f"interface {each.ifname} (network {each.network}) is named by two annotations" for each in clashes),
        ),
    )
