"""The records from the start to the end of the agent: loaded after READY, then compared with the disk.

systemd's start time limit must not depend on the number of records. Until they are loaded the pods are not followed, so
nothing is attached or detached.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from podagent.act.ports import Beat
from podagent.state.store import Store

_log = logging.getLogger(__name__)

_PERIOD_S = 30.0
_ALLOWANCE_S = 180.0  # for the files of all records, on an overloaded node


class Upkeep:
    """Two bodies of threads."""

    def __init__(
        self,
        store: Store,
        beat: Beat,
        changed: Callable[[], None],
        loaded: Callable[[], None],
        trim: Callable[[], None],
        look: Callable[[], None],
        period_s: float = _PERIOD_S,
    ) -> None:
        """
        Args:
            beat: of the thread that loads, then of the one that compares.
            changed: called when STATUS may have changed.
            loaded: called when the records are loaded, before anything is done.
            trim: gives memory back that a burst of work has used.
            look: compares the node's CNI configuration with the one that was there before.
            period_s: seconds between two comparisons.
        """
        self._store = store
        self._beat = beat
        self._changed = changed
        self._loaded = loaded
        self._trim = trim
        self._look = look
        self._period_s = period_s

    def loading_first(self, follow: Callable[[threading.Event], None]) -> Callable[[threading.Event], None]:
        """Wraps the body that follows the pods: it runs once the records are loaded. Raises StoreError."""

        def load_and_follow(stop: threading.Event) -> None:
            self._store.load(self._beat.working)
            self._beat.idle()
            _log.info("%d records of attachments are loaded", len(self._store))
            self._loaded()
            follow(stop)

        return load_and_follow

    def run(self, stop: threading.Event) -> None:
        """Repairs the state directory, looks at the node's configuration, and gives memory back, until `stop`."""
        self._look()
        while not stop.wait(self._period_s):
            self._trim()
            if self._store.loaded:
                before = self._store.trouble
                self._beat.working(_ALLOWANCE_S)
                self._store.repair()
                self._look()
                self._beat.idle()
                if self._store.trouble != before:
                    self._changed()
