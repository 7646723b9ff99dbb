"""Orders attachments so that lower layers precede the networks stacked on them. Pure."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

from podagent.model import Attachment, Record


def attach_order(attachments: Sequence[Attachment]) -> tuple[list[Attachment], bool]:
    """Sorts lower layers before the attachments stacked on them; otherwise keeps the given order.

    Returns:
        The sorted list, and whether the layers form a cycle; members of a cycle come last, in the given order.
    """
    position = {attachment.ifname: index for index, attachment in enumerate(attachments)}
    uppers = [[position[name] for name in each.upper_layers if name in position] for each in attachments]
    lowers_left = [0] * len(attachments)
    for stacked in uppers:
        for index in stacked:
            lowers_left[index] += 1
    free = [index for index, left in enumerate(lowers_left) if left == 0]
    order: list[int] = []
    while free:
        index = heapq.heappop(free)
        order.append(index)
        for upper in uppers[index]:
            lowers_left[upper] -= 1
            if lowers_left[upper] == 0:
                heapq.heappush(free, upper)
    placed = set(order)
    in_cycle = [index for index in range(len(attachments)) if index not in placed]
    return [attachments[index] for index in order + in_cycle], bool(in_cycle)


def detach_order(records: Sequence[Record]) -> list[Record]:
    """Sorts upper layers first; otherwise in reverse order of attachment."""
    oldest_first = sorted(records, key=lambda record: record.sequence)
    by_ifname = {record.attachment.ifname: record for record in oldest_first}
    ordered, _ = attach_order([record.attachment for record in oldest_first])
    return [by_ifname[attachment.ifname] for attachment in reversed(ordered)]
