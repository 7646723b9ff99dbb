"""Which pods count as gone because a list lacks them. Pure: one empty answer must not empty a node."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from podagent.model import PodKey

_MANY = 8


def doubtful(attached: Mapping[PodKey, int], listed: Collection[PodKey]) -> frozenset[PodKey]:
    """The attached pods that the list lacks, if they are too many to be believed at once; else none.

    Too many: they have more than half of the node's attachments, and at least 8.

    Args:
        attached: number of attachments of each pod that has any.
        listed: the pods of one complete list.
    """
    missing = attached.keys() - set(listed)
    lost = sum(attached[pod] for pod in missing)
    believable = lost < _MANY or 2 * lost <= sum(attached.values())
    return frozenset() if believable else frozenset(missing)
