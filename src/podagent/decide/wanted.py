"""The desired state of a pod from all its annotations. Pure; to add a dialect, add it to `DIALECTS`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import reduce

from podagent.decide.desired import Desired, Dialect, Unreadable
from podagent.decide.dialects import kaloom
from podagent.model import Pod

DIALECTS: tuple[Dialect, ...] = (kaloom.DIALECT,)
ANNOTATIONS = frozenset(dialect.annotation for dialect in DIALECTS)
"""Keys of the annotations that request networks."""


def wanted_by(pod: Pod, global_namespaces: Collection[str], dialects: Sequence[Dialect] = DIALECTS) -> Desired:
    """Merges the desired states of all dialects; earlier dialects take precedence.

    Args:
        pod: the pod, with its annotations.
        global_namespaces: namespaces whose definitions the pods of every namespace may use.
        dialects: the supported dialects.
    """
    readings = [_read(dialect, pod, global_namespaces) for dialect in dialects if dialect.annotation in pod.annotations]
    return reduce(_both, readings) if readings else Desired()


def _read(dialect: Dialect, pod: Pod, global_namespaces: Collection[str]) -> Desired:
    text = pod.annotations[dialect.annotation]
    if isinstance(text, Unreadable):
        return Desired(hold_all=True, problems=(str(text),))
    return dialect.read(text, pod.key.namespace, global_namespaces)


def _both(first: Desired, second: Desired) -> Desired:
    """Merges two annotations of one pod. If both name an interface, the first one wins."""
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
