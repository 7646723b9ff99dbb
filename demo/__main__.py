"""`python -m demo`: see `demo.supervisor`."""

from __future__ import annotations

import signal
import sys


def main() -> int:
    """Returns the exit code."""
    # Until the supervisor has taken over there is nothing to clean up, and a stack trace would tell nobody anything.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from demo.supervisor import main as supervise  # noqa: PLC0415 - takes its time

    return supervise()


if __name__ == "__main__":
    sys.exit(main())
