"""`Apart`: a command in namespaces of its own, where a test has a machine to itself."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from lab import processes
from lab.waiting import eventually

# First, so that the cgroup is the root of a new cgroup namespace.
_JOIN = '[ -z "$1" ] || echo $$ >"$1/cgroup.procs"; shift; exec "$@"'


class Apart:
    """The first process of new namespaces. All that it starts ends with it, and it ends with this process."""

    def __init__(
        self,
        command: Sequence[str],
        namespaces: Sequence[str],
        log: Path | None = None,
        cgroup: Path | None = None,
    ) -> None:
        """Starts it.

        Args:
            namespaces: besides those of mounts and PIDs, as `unshare` names them.
            log: takes what it prints; None: the terminal.
            cgroup: of all that runs in there; None: that of this process.
        """
        self._namespaces = [f"--{each}" for each in ("mount", "pid", *namespaces)]
        unshare = _joining(cgroup, ["unshare", *self._namespaces, "--fork", "--kill-child", *command])
        with log.open("ab") if log else contextlib.nullcontext() as output:
            # In a session of its own: Ctrl-C reaches it only through this process.
            self._unshare = subprocess.Popen(
                ["setpriv", "--pdeathsig=KILL", *unshare],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip

    @property
    def pid(self) -> int:
        """Of the process out here that ends when the first one in there does."""
        return self._unshare.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._unshare.poll()

    @property
    def init(self) -> int:
        """The PID, as seen from here, of the first process in there; 0 when there is none."""
        with contextlib.suppress(OSError):
            for child in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split():
                return int(child)
        return 0

    def entering(self, words: Sequence[str], cgroup: Path | None = None) -> list[str]:
        """The command that runs another one in there."""
        return _joining(cgroup, ["nsenter", f"--target={self.init}", *self._namespaces, "--", *words])

    def wait(self, timeout: float) -> int:
        """Its exit code. Raises subprocess.TimeoutExpired when it has none after `timeout` seconds."""
        return self._unshare.wait(timeout)

    def kill(self) -> None:
        """Ends everything in there at one moment; returns when it has ended."""
        init = self.init
        self._unshare.kill()
        self._unshare.wait()
        # The first process is the last one to end.
        processes.wait_gone([init] if init else [])


def remove_cgroup(top: Path) -> None:
    """And those below it, once nothing is in them any more."""

    def is_removed() -> bool:
        for group, _, _ in os.walk(top, topdown=False):
            with contextlib.suppress(OSError):
                Path(group).rmdir()
        return not top.exists()

    eventually(is_removed, 20, f"the processes in {top} to end")


def _joining(cgroup: Path | None, words: Sequence[str]) -> list[str]:
    return ["sh", "-c", _JOIN, "join", str(cgroup or ""), *words]
