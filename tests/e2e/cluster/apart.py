"""A machine apart: a command in network, mounts and processes of its own, so that clusters do not meet each other.

`python -m e2e.cluster.apart DIRECTORY COMMAND...` is the first process in there. Changes of the command to /etc, /run
and the like are gone with it, and so is every process that it leaves behind. Cgroups, and kernel parameters other than
those of the network, are the whole machine's: a kernel has no second set.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType
from typing import IO

from e2e.cluster.layout import MACHINES, PROJECT, STATE_DIR
from e2e.cluster.signals import SIGNALS

_COPIED = tuple(map(Path, ("/etc", "/opt", "/run", "/var/lib", "/var/log")))
# setpriv, unshare: all in there ends with its starter, however that ends.
_ENTER = [
    "setpriv", "--pdeathsig", "KILL",
    "unshare", "--net", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc",
]  # fmt: skip


class MachineApart:
    """A command on a machine apart. Its state directory is a real one of the machine, away from others' eyes."""

    def __init__(self, name: str, command: list[str], output: IO[bytes] | None = None) -> None:
        """Starts it; `output` takes what it prints, None: the terminal."""
        self._directory = MACHINES / name
        self._directory.mkdir(mode=0o700, parents=True)
        argv = [*_ENTER, sys.executable, "-m", "e2e.cluster.apart", str(self._directory), *command]
        self._process = subprocess.Popen(
            argv, cwd=PROJECT, stdout=output, stderr=output, start_new_session=True  # of Ctrl-C it hears once, from us
        )  # fmt: skip

    @property
    def exit_code(self) -> int | None:
        """None while the command is at it."""
        return self._process.poll()

    def wait(self, timeout: float) -> int:
        """Its exit code. Raises subprocess.TimeoutExpired when it has none after `timeout` seconds."""
        return self._process.wait(timeout)

    def interrupt(self) -> None:
        """Tells it to come to its end."""
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        with contextlib.suppress(OSError):
            for child in children.read_text().split():
                os.kill(int(child), signal.SIGINT)

    def remove(self) -> None:
        """Ends whatever is left in it, and with that its mounts; removes its files."""
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self._directory, ignore_errors=True)


def main() -> int:
    """Prepares the namespaces that it was started in, and runs the command there; returns its exit code."""
    directory, command = Path(sys.argv[1]), sys.argv[2:]
    _run("ip link set lo up")
    _mount_sysfs(directory)
    _copy_folders(directory)
    return _as_init(command)


def _mount_sysfs(directory: Path) -> None:
    """One that shows the network namespace, with the cgroups that were mounted in the old one."""
    cgroups = directory / "cgroup"
    cgroups.mkdir()
    _run(f"mount --rbind /sys/fs/cgroup {cgroups}")
    _run("mount -t sysfs sysfs /sys")
    _run(f"mount --move {cgroups} /sys/fs/cgroup")


def _copy_folders(directory: Path) -> None:
    state, project, changes = (directory / name for name in ("state", "project", "changes"))
    for each in (state, project, changes):
        each.mkdir()
    # A checkout in one of the folders stays the real one: failures leave their logs there.
    _run(f"mount --rbind {PROJECT} {project}")
    _run(f"mount -t tmpfs tmpfs {changes}")
    for folder in _COPIED:
        upper, work = (changes / kind / folder.name for kind in ("upper", "work"))
        upper.mkdir(parents=True)
        work.mkdir(parents=True)
        _run(f"mount -t overlay overlay -o lowerdir={folder},upperdir={upper},workdir={work} {folder}")
    if any(folder in PROJECT.parents for folder in _COPIED):
        _run(f"mount --rbind {project} {PROJECT}")
    # Containers' layers cannot lie on layers.
    STATE_DIR.mkdir(mode=0o700)
    _run(f"mount --bind {state} {STATE_DIR}")


def _as_init(command: list[str]) -> int:
    """Besides waiting for the command, what the first process of a PID namespace has to do: reap orphans."""
    process = subprocess.Popen(command)

    def interrupt(number: int, frame: FrameType | None) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGINT)

    for number in SIGNALS:
        signal.signal(number, interrupt)
    while True:
        ended, status = os.wait()
        if ended == process.pid:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


def _run(command: str) -> None:
    subprocess.run(command.split(), check=True, timeout=30)


if __name__ == "__main__":
    sys.exit(main())
