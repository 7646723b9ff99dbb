from __future__ import annotations

from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from podagent.daemon.status import Status
from podagent.model import Phase
from unit.factory import record
from unit.stores import store_in


def test_what_is_to_be_detached_is_no_attachment_and_is_counted_apart_and_the_runtime_is_named(tmp_path: Path) -> None:
    others: Any = SimpleNamespace(
        waiting_for="",
        doubt="",
        trouble="",
        synced=True,
        doubted=0,
        keys=lambda: ["pod"],
        server="",
        about="its runtime",
    )
    queue: Any = []
    with closing(store_in(tmp_path)) as store:
        status = Status(others, others, others, others, store, others, queue, others)
        for network in ("red", "green"):
            store.put(record(network))
        usual = "1 pods, 2 attachments, 0 pods in progress; its runtime"
        assert status.line() == usual
        store.put(record("red", phase=Phase.DETACHING))
        store.keep(record("red", phase=Phase.DETACHING, left=(0,)))
        one_goes = "1 pods, 1 attachments, 0 pods in progress, 1 more attachments to be detached; its runtime"
        assert status.line() == one_goes
        store.remove(record("red"))
        store.put(record("red"))
        assert status.line() == usual
