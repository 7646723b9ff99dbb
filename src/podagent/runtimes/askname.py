"""A program that prints the name of the runtime which serves CRI at a socket, and in a second line if it has no pod.

    python -m podagent.runtimes.askname /run/containerd/containerd.sock

Exit codes: 0, `OFF` if something else than CRI is served there, `NO_ANSWER`.
"""

from __future__ import annotations

import sys
import time

LIMIT_S = 2.0
"""Of all calls together, in seconds."""
OFF, NO_ANSWER = 3, 4
NO_POD = "no pod"


def main(path: str) -> int:
    # `search` needs only the codes: with the service, it would load HTTP/2.
    from podagent.errors import RuntimeUnavailable  # noqa: PLC0415
    from podagent.runtimes.criservice import CriOff, CriService  # noqa: PLC0415

    try:
        service, deadline = CriService(f"unix://{path}"), time.monotonic() + LIMIT_S
        name, pods = service.runtime_name(deadline), service.ready_sandboxes(deadline)
        sys.stdout.write(f"{name}\n{'' if pods else NO_POD}")
    except RuntimeUnavailable as error:
        sys.stderr.write(str(error))
        return OFF if isinstance(error, CriOff) else NO_ANSWER
    return 0


def run() -> None:
    sys.exit(main(*sys.argv[1:]))


if __name__ == "__main__":
    run()
