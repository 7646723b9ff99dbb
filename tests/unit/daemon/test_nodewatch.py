"""Changes of the node's CNI configuration are told once, and heal what they had prevented."""

from __future__ import annotations

import pytest

from podagent.daemon.nodewatch import NodeWatch
from podagent.errors import NetConfError


class Node:
    """`stance` is what its configuration means, or the fault in it."""

    def __init__(self, stance: str | NetConfError) -> None:
        self.stance = stance
        self.happened: list[str] = []
        self.watch = NodeWatch(self._read, lambda: self._note("changed"), lambda: self._note("usable"))

    def look_at(self, stance: str | NetConfError) -> list[str]:
        """What happens at the next look."""
        self.stance, self.happened = stance, []
        self.watch.look()
        return self.happened

    def _read(self) -> str:
        if isinstance(self.stance, NetConfError):
            raise self.stance
        return self.stance

    def _note(self, what: str) -> None:
        self.happened.append(f"{what}: {self.watch.trouble}")


def test_each_change_is_told_once_and_the_end_of_the_trouble_has_everything_tried_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "podagent")
    node = Node("")
    fault, other = NetConfError("05.conf: not JSON"), NetConfError("05.conf makes bridge ...")
    happened = [node.look_at(stance) for stance in ("by kactus", "by kactus", fault, fault, other, "by kactus")]
    assert happened == [["changed: "], [], [f"changed: {fault}"], [], [f"changed: {other}"], ["usable: ", "changed: "]]
    told = [(each.levelname, each.message) for each in caplog.records]
    assert told == [
        ("INFO", "by kactus"),
        ("WARNING", f"nothing is attached: {fault}"),
        ("WARNING", f"nothing is attached: {other}"),
        ("INFO", "by kactus"),
    ]
