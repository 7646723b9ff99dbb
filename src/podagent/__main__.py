"""The entry point of the command."""

import sys

from podagent import signals


def main() -> int:
    """Runs the command line and returns the exit code. Signals are held back before the imports, which take a while."""
    signals.hold_back()
    from podagent.cli import main as run  # noqa: PLC0415 - see above

    return run()


if __name__ == "__main__":
    sys.exit(main())
