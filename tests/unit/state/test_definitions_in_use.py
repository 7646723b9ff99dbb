from __future__ import annotations

from pathlib import Path

from podagent.model import DefinitionRef
from unit.factory import invocation, netconf, record
from unit.stores import store_in

RED = DefinitionRef("networks.kaloom.com/v1", "shop", "red")


def test_the_definitions_of_attachments_are_listed_with_the_configuration_of_their_add(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    store.put(record("red", invocation=invocation("red", definition=RED)))
    store.put(record("green", invocation=invocation("green", definition=None)))
    assert store.definitions_in_use() == [(RED, netconf("red"))]
