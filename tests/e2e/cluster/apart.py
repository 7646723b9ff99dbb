"""A machine apart: a command in network, mounts and processes of its own, so that clusters do not meet each other.

Cgroups, and kernel parameters other than those of the network, are the whole machine's: a kernel has no second set.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from e2e.cluster.layout import PROJECT, STATE
from lab.apart import Apart, remove_cgroup

MACHINES = Path("/var/cache/podagent-cluster")
"""Not below a folder of which a machine has a copy."""
_NAME = "PODAGENT_MACHINE"
_CGROUPS = Path("/sys/fs/cgroup")
_END_SECONDS = 20.0
# What a kubelet insists on.
_SYSCTLS_OF_A_NODE = {
    "vm/overcommit_memory": "1", "vm/panic_on_oom": "0", "kernel/panic": "10", "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000", "kernel/keys/root_maxbytes": "25000000",
}  # fmt: skip


class MachineApart:
    """A command on a machine apart. Its state directory is a real one of the machine, away from others' eyes."""

    def __init__(self, name: str, command: Sequence[str], log: Path | None = None) -> None:
        """Starts it; `log` takes what it prints, None: the terminal."""
        self._name = name
        self._directory = MACHINES / name
        self._directory.mkdir(mode=0o700, parents=True)
        first = [str(Path(__file__).with_name("apart.sh")), str(self._directory), str(PROJECT), str(STATE)]
        self._apart = Apart(["env", f"{_NAME}={name}", *first, *command], ["net"], log)

    @property
    def exit_code(self) -> int | None:
        """None while the command is at it."""
        return self._apart.exit_code

    def run(self, command: Sequence[str], environment: Mapping[str, str]) -> int:
        """Runs another command there, on the terminal; returns its exit code."""
        return subprocess.run(self._apart.entering(command), env=dict(environment), check=False).returncode

    def interrupt(self) -> None:
        """Has the command come to its end (SIGTERM)."""
        if init := self._apart.init:
            os.kill(init, signal.SIGTERM)

    def remove(self) -> None:
        """Waits until the command has ended, but not forever; then nothing of it is left."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._apart.wait(_END_SECONDS)
        self._apart.kill()
        for top in [*_CGROUPS.glob(_cgroup_of(self._name)), *_CGROUPS.glob(f"*/{_cgroup_of(self._name)}")]:
            remove_cgroup(top)
        shutil.rmtree(self._directory, ignore_errors=True)


def is_apart() -> bool:
    """Whether this process is on such a machine."""
    return _NAME in os.environ


def cgroup() -> str:
    """Parent of the cgroups of this machine's containers."""
    return _cgroup_of(os.environ[_NAME])


@contextlib.contextmanager
def as_a_node() -> Iterator[None]:
    """The whole machine has the kernel parameters of a node meanwhile."""
    before = {name: Path("/proc/sys", name).read_text() for name in _SYSCTLS_OF_A_NODE}
    shutil.rmtree(MACHINES, ignore_errors=True)  # of a run that was killed
    try:
        _set(_SYSCTLS_OF_A_NODE)
        yield
    finally:
        _set(before)


def _set(values: Mapping[str, str]) -> None:
    for name, value in values.items():
        Path("/proc/sys", name).write_text(value)


def _cgroup_of(machine: str) -> str:
    return f"podagent-cluster-{machine}"
