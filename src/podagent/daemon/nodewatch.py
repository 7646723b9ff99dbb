"""Watches the node's CNI configuration, and says in the journal and in STATUS what it means for attaching."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from podagent.errors import NetConfError
from podagent.messages import Message

_log = logging.getLogger(__name__)


class NodeWatch:
    """Thread-safe.

    Attributes:
        trouble: why no network can be attached, "" if nothing is known that prevents it.
    """

    def __init__(self, stance: Callable[[], str], changed: Callable[[], None], usable: Callable[[], None]) -> None:
        """
        Args:
            stance: how networks are attached now, in words; raises NetConfError if none can be.
            changed: called when STATUS may have changed.
            usable: called when the trouble is over.
        """
        self._stance = stance
        self._changed = changed
        self._usable = usable
        self._lock = threading.Lock()
        self._said = ""
        self.trouble = ""

    def look(self) -> None:
        """Says what has changed since the last look."""
        with self._lock:
            try:
                said, trouble = self._stance(), ""
            except NetConfError as fault:
                said = trouble = str(fault)
            if said == self._said:
                return
            over = self.trouble and not trouble
            self._said, self.trouble = said, trouble
        if trouble:
            _log.warning("nothing is attached: %s", trouble, extra=Message.NODE_CONFIGURATION.field)
        else:
            _log.info("%s", said)
        if over:
            self._usable()
        self._changed()
