"""How many records there may be."""

from __future__ import annotations

import pytest

from podagent.decide.room import OF_NAMESPACE, OF_POD, Used, require_room
from podagent.errors import TooManyRecords
from unit.factory import key

NONE, HONEST = Used(), 2000


def test_an_honest_node_has_room() -> None:
    for pods in range(110):
        require_room(key(), HONEST, Used(63, 63 * HONEST), Used(64 * pods, 64 * pods * HONEST))


@pytest.mark.parametrize(
    ("pod", "namespace", "words"),
    [
        (Used(OF_POD.records, 0), NONE, "pod default/web has 256 attachments on this node, its maximum"),
        (NONE, Used(OF_NAMESPACE.records, 0), "namespace default has 8192 attachments"),
        (Used(1, OF_POD.size - HONEST + 1), NONE, "pod default/web may have attachments with 2 MiB"),
        (NONE, Used(1, OF_NAMESPACE.size - HONEST + 1), "namespace default may have attachments with 16 MiB"),
    ],
)
def test_one_record_more_is_refused_with_the_bound(pod: Used, namespace: Used, words: str) -> None:
    with pytest.raises(TooManyRecords, match=words):
        require_room(key(), HONEST, pod, namespace)
    require_room(key(), HONEST, *(Used(each.records - 1, each.size - 1) for each in (pod, namespace)))
