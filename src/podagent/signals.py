"""The signals that the agent handles. They wait until it can: its start takes a while, and SIGHUP would end it."""

from __future__ import annotations

import signal

ENDING = (signal.SIGTERM, signal.SIGINT)
HANDLED = (*ENDING, signal.SIGHUP)


def hold_back() -> None:
    """Keeps them pending from now on."""
    signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)


def let_through() -> None:
    """Delivers every signal to this thread, and to the threads and processes that it starts later."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
