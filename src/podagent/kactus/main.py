"""The executable: answers VERSION itself, and passes every other call to `run`.

It starts for every pod operation, and runtimes ask every plugin for its versions, so it imports almost nothing.
"""

from __future__ import annotations

import os
import sys

from podagent.versions import KNOWN, LATEST

_STDOUT = 1


def main() -> int:
    """Runs one call. Returns the exit code."""
    if os.environ.get("CNI_COMMAND") == "VERSION":
        versions = ", ".join(f'"{each}"' for each in KNOWN)  # importing json would take longer than everything else
        return 0 if write_out(f'{{"cniVersion": "{LATEST}", "supportedVersions": [{versions}]}}') else 1
    from podagent.kactus.run import run  # noqa: PLC0415

    return run(os.environ, write_out)


def write_out(text: str) -> bool:
    """Prints a line of ASCII text. Returns False if the reader is gone, which must count as a failure."""
    rest = memoryview(f"{text}\n".encode())
    try:
        while rest:
            rest = rest[os.write(_STDOUT, rest) :]
    except OSError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
